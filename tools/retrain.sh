#!/bin/bash
# Train all bundled weights anew, on random craft and photographs, and none of the three targets:
#   tools/retrain.sh [FOLDER] [WHAT...]      WHAT: data lightglue-aliked superglue-aliked
#                                            lightglue-sift superglue-sift measure; default: all
# MINUTES=90 ends each training after so long; the same call goes on from there, as after Ctrl-C.
# CRAFT, FRAMES, STEPS, THREADS: see below. At the end of a training its folder holds the weights and
# their card, to be copied to matchers/weights.
set -eu
folder=${1:-training}
shift || true
what=${*:-data lightglue-aliked superglue-aliked lightglue-sift superglue-sift measure}
craft=${CRAFT:-1-60} frames=${FRAMES:-120} steps=${STEPS:-6000} threads=${THREADS:-$(nproc)}
mkdir -p "$folder"
cd "$folder"
export PYTHONPATH=${PYTHONPATH:-$OLDPWD}

train() { # NAME, options of satgen train
  name=$1
  shift
  timeout --signal=INT "${MINUTES:-100000}m" satgen train random/* --out "runs/$name" --cache features \
    --threads "$threads" --frames "$frames" --versions 4 --roll 180 --roll-share 0.6 \
    --photographs 0.25 --homography-steps 0 --cache-gb 4 \
    --validation-pairs 1 --test-pairs 2 "$@" || echo "$name: stopped, call again"
}

for step in $what; do
  case $step in
    data) # every tenth index, in other light by block of indices
      satgen render --target "random:$craft" --step 10 --light varied --out random ;;
    lightglue-aliked)
      train $step --matcher lightglue --features aliked-n16 --init official --layers 5 \
        --curriculum 0 --lr 2e-4 --steps "$steps" ;;
    superglue-aliked)
      train $step --matcher superglue --features aliked-n16 --init satgen --curriculum 0 \
        --steps "$steps" ;;
    lightglue-sift)
      train $step --matcher lightglue --features sift --init satgen --curriculum 0 \
        --steps "$steps" ;;
    superglue-sift)
      train $step --matcher superglue --features sift --init satgen --curriculum 0 \
        --steps "$steps" ;;
    measure)
      python -m bench.photographs --features sift --features aliked-n16 --out photographs.json ;;
    *) echo "unknown: $step" >&2; exit 2 ;;
  esac
done
