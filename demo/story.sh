# shellcheck shell=bash
# How the demo talks: chapters, timed steps, tables. Sourced, not run.

steps=0 wrong=0
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; else bold='' green='' red='' plain=''; fi

chapter() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

# step SENTENCE COMMAND...: does it, tells how long it took. $said, if the command sets it, is shown behind.
step() {
  local what=$1 began=$EPOCHREALTIME took
  shift
  steps=$((steps + 1))
  said=''
  if "$@" > "$dir/step.log" 2>&1; then
    took=$(((${EPOCHREALTIME/./} - ${began/./}) / 100))
    printf '  %s✓%s %-62s %5d.%d ms  %s\n' "$green" "$plain" "$what" $((took / 10)) $((took % 10)) "$said"
  else
    wrong=$((wrong + 1))
    printf '  %s✗%s %s\n' "$red" "$plain" "$what"
    sed 's/^/      /' "$dir/step.log" | tail -n 8
  fi
}

is() {
  said=$1
  [[ -n $1 && $1 == "$2" ]] || { echo "expected $2, found ${1:-nothing}"; return 1; }
}
is_not() {
  said=$1
  [[ -n $1 && $1 != "$2" ]] || { echo "${1:-nothing} again"; return 1; }
}
# has TEXT PREFIX
has() {
  said=$1
  [[ -n $1 && $1 == "$2"* ]] || { echo "expected $2..., found ${1:-nothing}"; return 1; }
}
