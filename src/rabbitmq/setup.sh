# The user, its rights and the queue's policy, on one node of the cluster.
# $1 user, $2 vhost, $3 policy pattern, $4 policy definition or empty. Standard input: the password.
# The broker reads the password from a file: on a command line every user would see it, and the
# rabbitmqctl of 4.3 cannot read its own input under Erlang/OTP 29.
run() { rabbitmqctl -q -t 30 "$@" </dev/null; }
file=$(mktemp /run/jtest-password.XXXXXX)
trap 'rm -f "$file"' EXIT
cat >"$file"
chown rabbitmq "$file"
added=$(run eval "
  {ok, Password} = file:read_file(\"$file\"),
  case rabbit_auth_backend_internal:lookup_user(<<\"$1\">>) of
    {ok, _} -> rabbit_auth_backend_internal:change_password(<<\"$1\">>, Password, <<\"jtest\">>);
    {error, not_found} -> rabbit_auth_backend_internal:add_user(<<\"$1\">>, Password, <<\"jtest\">>)
  end.")
if [ "$added" != ok ]; then
  printf 'the broker does not take the user: %s\n' "$added" >&2
  exit 1
fi
run set_permissions -p "$2" "$1" '.*' '.*' '.*'
if [ -n "$4" ]; then
  run set_policy -p "$2" --apply-to queues jtest "$3" "$4"
elif run list_policies -p "$2" | cut -f2 | grep -qx jtest; then
  run clear_policy -p "$2" jtest
fi
