#!/usr/bin/env bash
# The main job, offline: questions -> dual chains -> alignments -> two students -> their scores -> a report.
# Generated questions stand in for a data set, the oracle for a paid teacher, a tiny model for a student.
set -euo pipefail

out=${1:-runs/demo}
train=(--batch-questions 16 --learning-rate 2e-3 --schedule linear --warmup-steps 20)
updates=400
rm -rf "$out"
mkdir -p "$out"
export EDITCTL_STATE="$out/state" HF_HUB_OFFLINE=1

echo "1. gen-dual: a right and a wrong chain for each of 4,000 questions"
editctl gen-dual 'toy:chain?n=4000' -t oracle -T error-rate=0.2 -m logical,knowledge,calculation -o "$out/dual.jsonl"

echo "2. align: where the two chains of each question part"
editctl align "$out/dual.jsonl" -o "$out/aligned.jsonl"

echo "3. train: nothing, std-cot and edit, the last two for $updates updates each"
editctl train "$out/aligned.jsonl" -s tiny -r std-cot --max-steps 0 -o "$out/untrained"
editctl train "$out/aligned.jsonl" -s tiny -r std-cot "${train[@]}" --max-steps $updates -o "$out/std-cot"
editctl train "$out/aligned.jsonl" -s tiny -r edit "${train[@]}" --max-steps $updates -o "$out/edit"

echo "4. eval: 200 new questions of the same kind, 200 harder ones"
for student in untrained std-cot edit; do
    editctl eval "$out/$student" 'toy:chain?split=test&n=200' 'toy:chain?split=ood&n=200' \
        --max-new-tokens 128 -o "$out/$student.predictions.jsonl" --json > "$out/$student.scores.json"
done

echo "5. report: the two trained students beside each other, and what they came from"
editctl report "$out/std-cot" "$out/edit" "$out/std-cot.predictions.jsonl" "$out/edit.predictions.jsonl" \
    -o "$out/report.html" --quiet

python "$(dirname "$0")/demo_table.py" "$out"
