# Evaluates an Erlang expression in the broker on this host and prints its value, which must be a string
# without quotes. $1: the expression.
rabbit_eval() {
  rabbit_home=/var/lib/rabbitmq
  if command -v erl_call >/dev/null 2>&1 && [ -r "$rabbit_home/.erlang.cookie" ]; then
    # A full stop in mid-expression would end it.
    if rabbit_said=$(printf '%s.\n' "$1" | HOME=$rabbit_home erl_call -address 127.0.0.1:25672 -timeout 20 -e 2>&1); then
      printf '%s\n' "$rabbit_said" | sed -n 's/^{ok, *"\(.*\)"}$/\1/p'
      return
    fi
  fi
  rabbitmqctl -q -t 20 eval "$1." </dev/null | sed -n 's/^"\(.*\)"$/\1/p'
}
