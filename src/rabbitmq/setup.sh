# The user, its rights and the queue's policy, on one node of the cluster.
# $1 user, $2 vhost, $3 policy pattern, $4 policy definition or empty. Standard input: the password.
password=$(cat)
run() { rabbitmqctl -q -t 30 "$@"; }
if ! added=$(printf '%s\n' "$password" | run add_user "$1" 2>&1); then
  case $added in
  *already*) printf '%s\n' "$password" | run change_password "$1" ;;
  *) printf '%s\n' "$added" >&2; exit 1 ;;
  esac
fi
run set_permissions -p "$2" "$1" '.*' '.*' '.*'
if [ -n "$4" ]; then
  run set_policy -p "$2" --apply-to queues jtest "$3" "$4"
elif run list_policies -p "$2" | cut -f2 | grep -qx jtest; then
  run clear_policy -p "$2" jtest
fi
