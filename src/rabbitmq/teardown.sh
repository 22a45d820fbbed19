# Undoes what deploy did, from any state; safe to run twice. Prints what it found to undo.
state=/var/lib/jtest
begin='# jtest begin: names of the cluster, removed by jtest teardown'
if grep -q "^$begin\$" /etc/hosts; then
  rest=$(sed "/^$begin\$/,/^# jtest end\$/d" /etc/hosts; printf .)
  printf '%s' "${rest%.}" >/etc/hosts
  echo 'names in /etc/hosts'
fi
[ -d "$state" ] || exit 0
timeout 20 systemctl stop rabbitmq-server 2>/dev/null || systemctl kill --signal=SIGKILL rabbitmq-server 2>/dev/null || true
if [ -s "$state/cookie" ]; then
  rm -rf /var/lib/rabbitmq/mnesia
  echo 'the broker and its data'
fi
for original in "$state"/original/*; do
  [ -e "$original" ] || continue
  name=$(basename "$original")
  file=$(printf '%s' "${name%.none}" | tr _ /)
  case $name in
  *.none) rm -f "$file" ;;
  *) cp -p "$original" "$file" ;;
  esac
done
rmdir /etc/systemd/system/rabbitmq-server.service.d 2>/dev/null || true
systemctl daemon-reload
if [ -s "$state/packages.installed" ]; then
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2046
  apt-get -qq -y -o DPkg::Lock::Timeout=180 -o Dpkg::Use-Pty=0 purge $(cat "$state/packages.installed") >/dev/null
  echo "packages: $(wc -l <"$state/packages.installed")"
  rm -rf /etc/rabbitmq /var/lib/rabbitmq /var/log/rabbitmq
fi
rm -rf "$state"
