# Answers each line with one: the host's time before and after, in microseconds, and what the broker said, if it
# did. $1: the question, $2: seconds it may take.
while read -r _; do
  before=$(date +%s%6N)
  said=$(printf '%s\n' "$1" | rabbit_ask "$2" 2>/dev/null | tr -d '\n') || said=
  printf '%s %s %s\n' "$before" "$(date +%s%6N)" "$said"
done
