# Evaluates an Erlang expression in the broker on this host and prints its value, which must be a string
# without quotes, to Erlang a list. Fails where the broker does not answer with one. $1: the expression.
rabbit_eval() {
  rabbit_home=/var/lib/rabbitmq
  if command -v erl_call >/dev/null 2>&1 && [ -r "$rabbit_home/.erlang.cookie" ]; then
    # A full stop in mid-expression would end it.
    if rabbit_said=$(printf '%s.\n' "$1" | HOME=$rabbit_home erl_call -address 127.0.0.1:25672 -timeout 20 -e 2>&1); then
      rabbit_value "$rabbit_said" 's/^{ok, *\[\]}$/=/p; s/^{ok, *"\(.*\)"}$/=\1/p'
      return
    fi
  fi
  rabbit_said=$(rabbitmqctl -q -t 20 eval "$1." </dev/null) || return 1
  rabbit_value "$rabbit_said" 's/^\[\]$/=/p; s/^"\(.*\)"$/=\1/p'
}

# The string in an answer. $1: the answer, $2: what makes an equals sign and the string of it.
rabbit_value() {
  rabbit_found=$(printf '%s\n' "$1" | sed -n "$2")
  if [ -z "$rabbit_found" ]; then
    echo "the broker answers $(printf '%s' "$1" | cut -c 1-200)" >&2
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
