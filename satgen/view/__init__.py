"""A page to look at a dataset or a run in a browser: `satgen view`.

A page is a site: files by path, each with the function that makes its bytes (`site`). It is served
on this machine (`server`), where files are made when they are asked for and kept in the user's
cache (`store`), or written into a folder for any web server (`export`). The files of a dataset are
its tables as binary columns and its images in packs of a few frames (`dataset_files`, `packs`);
what the browser runs lies in `page/`, as plain HTML, CSS and JavaScript modules.
"""
