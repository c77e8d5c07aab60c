#!/bin/bash
# Train all bundled weights anew, on random craft, photographs and, where `targets` was made, frames
# of the three targets that are not held out:
#   tools/retrain.sh [FOLDER] [WHAT...]      WHAT: data targets lightglue-aliked superglue-aliked
#                                            lightglue-sift superglue-sift measure; default: all
# It stops at the first failure; the same call goes on from there, as after Ctrl-C. Each training is
# laid out for MINUTES (on a GPU with 16 cores 5, on a CPU core 60 and more), features included,
# and ends with the weights and their card in FOLDER/runs/WHAT, to be copied to matchers/weights once
# `satgen bench` says that they are better. To see that all of it runs:
#   CRAFT=6 FAR=60 NEAR=10 STRETCHES=2 MINUTES=0.5 tools/retrain.sh /tmp/try
#   CRAFT    how many random craft; a twentieth of them validates, as many test
#   FAR NEAR degrees of the two arcs that are rendered of each craft, 5 and 1 degree a frame
#   STRETCHES  of the targets' frames, so many at most (60: all)
#   WORKERS  craft that are rendered at once
#   DEVICE, THREADS, PRECISION, FRAMES (of an arc), VERSIONS (of a frame): see satgen train
set -eu
code=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH=$code${PYTHONPATH:+:$PYTHONPATH}
folder=${1:-training}
shift || true
what=${*:-data targets lightglue-aliked superglue-aliked lightglue-sift superglue-sift measure}
craft=${CRAFT:-66} far=${FAR:-120} near=${NEAR:-15} workers=${WORKERS:-$(nproc)}
export far near
mkdir -p "$folder"
cd "$folder"

render() { # NUMBER: two arcs of a craft, one of them near enough for pairs of 1 degree
  # the golden ratio spreads the arcs of neighbouring craft over all latitudes
  local start=$((361 + $1 * 618034 % 1000000 * (7300 - far) / 1000000))
  satgen render --target "random:$1" --start $start --stop $((start + far)) --step 5 \
    --light varied --workers 0 --quiet --out "random/random-$1-far"
  satgen render --target "random:$1" --start $((start + 360)) --stop $((start + 359 + near)) \
    --light varied --workers 0 --quiet --out "random/random-$1-near"
}
export -f render

stretch() { # TARGET START STOP STEP: frames of a target, in two kinds of light
  for light in benign varied; do
    satgen render --target "$1" --start "$2" --stop "$3" --step "$4" --light $light \
      --workers 0 --quiet --out "targets/$1-$2-$light"
  done
}
export -f stretch

train() { # NAME, MATCHER, FEATURES, options of satgen train
  local name=$1
  echo "$name"
  local data=(random/*)
  if [ -d targets ]; then data+=(targets/*); fi
  satgen train "${data[@]}" --out "runs/$name" --matcher "$2" --features "$3" --cache features \
    --minutes "${MINUTES:-60}" --hold-out targets --test-share 0.05 --validation-share 0.05 \
    --frames "${FRAMES:-40}" --versions "${VERSIONS:-3}" --curriculum 0 --homography-steps 0 \
    --validation-pairs 2 --test-pairs 4 ${DEVICE:+--device "$DEVICE"} \
    ${THREADS:+--threads "$THREADS"} ${PRECISION:+--precision "$PRECISION"} "${@:4}"
}

measure() { # NAME, MATCHER, FEATURES: on photographs, beside nearest neighbours
  for file in "runs/$1"/*.safetensors; do
    python -m bench.photographs --matcher "$2" --features "$3" --weights "$file" \
      --out "photographs-$1.json"
  done
}

for step in $what; do
  case $step in
    data) seq "$craft" | xargs -P "$workers" -I{} bash -euc 'render {}' ;;
    targets)
      python "$code/tools/training_frames.py" | sed -n "1,${STRETCHES:-60}p" |
        xargs -P "$workers" -L 1 bash -euc 'stretch "$@"' stretch ;;
    # ALIKED's descriptors are of upright images: far rolls cannot be learned from them
    lightglue-aliked)
      train $step lightglue aliked-n16 --init official --layers 5 --lr 2e-4 \
        --roll 60 --roll-share 0.7 --photographs 0.1 ;;
    superglue-aliked)
      train $step superglue aliked-n16 --init satgen --lr 3e-4 --precision float32 \
        --roll 60 --roll-share 0.7 --photographs 0.1 ;;
    lightglue-sift)
      train $step lightglue sift --init satgen --lr 4e-4 \
        --roll 180 --roll-share 0.6 --photographs 0.4 ;;
    superglue-sift)
      train $step superglue sift --init satgen --lr 4e-4 --precision float32 \
        --roll 180 --roll-share 0.6 --photographs 0.4 ;;
    measure)
      for name in lightglue-aliked superglue-aliked lightglue-sift superglue-sift; do
        features=${name#*-}
        if [ -d "runs/$name" ]; then measure "$name" "${name%-*}" "$features"; fi
      done ;;
    *) echo "unknown: $step" >&2; exit 2 ;;
  esac
done
