"""Datasets in the formats of other programs: a module a format, see `satgen.exports.formats`.

An export is a folder, written beside its place under another name and renamed when it is whole: a
run that was killed leaves nothing that looks finished, and the next one starts over. Frames go by
one at a time, or a clip at a time where a format wants clips.
"""
