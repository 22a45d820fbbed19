# Evaluates Erlang in a broker and prints what becomes of it: `{ok, VALUE}`. Standard input: the text, which may
# hold secrets. $1: seconds it may take, $2: the node; without it, the broker on this host.
# erl_call costs some milliseconds; rabbitmqctl most of a second of processor time, but it knows
# every way to reach a broker. (It cannot take the text from its standard input: there it
# waits for ever with Erlang 27.)
rabbit_ask() (
  text=$(cat)
  node=${2-}
  home=/var/lib/rabbitmq
  if command -v erl_call >/dev/null 2>&1 && [ -r "$home/.erlang.cookie" ]; then
    host=127.0.0.1
    if [ -n "$node" ]; then host=${node#*@}; fi
    status=0
    said=$(printf '%s\n' "$text" | HOME=$home erl_call -address "$host:25672" -timeout "$1" -e 2>&1) || status=$?
    case $status in
    0) printf '%s\n' "$said"; exit ;;
    142) echo "the broker did not answer within $1 s" >&2; exit 1 ;;
    esac
    if [ -z "$node" ] && ! epmd -names 2>/dev/null | grep -q '^name '; then
      echo 'no broker runs here' >&2
      exit 1
    fi
  fi
  [ -d "$home" ] || home=/tmp
  file=$(mktemp "$home/jtest-evaluate.XXXXXX")
  trap 'rm -f "$file"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '%s\n' "$text" >"$file"
  chown rabbitmq "$file"
  rabbitmqctl -q ${node:+-n "$node"} -t "$1" eval "file:script(\"$file\")." </dev/null
)

# Evaluates an expression whose value is a string without quotes, to Erlang a list, and prints it. Fails where the
# broker does not answer with one. $1: the expression, $2: the node, as above.
rabbit_eval() {
  # A full stop in mid-expression would end it.
  rabbit_said=$(printf '%s.\n' "$1" | rabbit_ask 20 "${2-}") || return 1
  # Long texts may be printed as several strings, one a line.
  rabbit_found=$(printf '%s' "$rabbit_said" | tr -d '\n' |
    sed -n 's/^{ok, *\[\]}$/=/p; s/" *"//g; s/^{ok, *"\(.*\)"}$/=\1/p')
  if [ -z "$rabbit_found" ]; then
    echo "the broker answers $(printf '%s' "$rabbit_said" | cut -c 1-200)" >&2
    return 1
  fi
  printf '%s\n' "${rabbit_found#=}"
}

# Whether there is a broker that could have kept a setting.
rabbit_runs() {
  systemctl is-active --quiet rabbitmq-server.service
}

# Whether the broker's application is up.
rabbit_app() {
  rabbit_eval 'case lists:keymember(rabbit, 1, application:which_applications()) of true -> "running"; false -> "stopped" end'
}

# A queue's name as Erlang. $1: the name.
rabbit_queue() {
  printf '<<%s>>' "$(printf '%s' "$1" | od -An -v -t u1 | tr -s ' \n' ',' | sed 's/^,//; s/,$//')"
}
