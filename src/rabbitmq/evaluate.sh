# Evaluates Erlang in the broker on this host and prints its value, a string: `{ok, "..."}`.
# Standard input: the text, which may hold secrets. $1: seconds it may take.
# erl_call costs some milliseconds; rabbitmqctl most of a second of processor time, but it knows
# every way to reach a broker. (It cannot take the text from its standard input: there it
# waits for ever with Erlang 27.)
text=$(cat)
home=/var/lib/rabbitmq
if command -v erl_call >/dev/null 2>&1 && [ -r "$home/.erlang.cookie" ]; then
  status=0
  said=$(printf '%s\n' "$text" | HOME=$home erl_call -address 127.0.0.1:25672 -timeout "$1" -e 2>&1) || status=$?
  case $status in
  0) printf '%s\n' "$said"; exit ;;
  142) echo "the broker did not answer within $1 s" >&2; exit 1 ;;
  esac
fi
[ -d "$home" ] || home=/tmp
file=$(mktemp "$home/jtest-evaluate.XXXXXX")
trap 'rm -f "$file"' EXIT
trap 'exit 1' HUP INT TERM
printf '%s\n' "$text" >"$file"
chown rabbitmq "$file"
rabbitmqctl -q -t "$1" eval "file:script(\"$file\")." </dev/null
