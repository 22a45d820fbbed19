# Undoes what deploy did, from any state; safe to run twice. Prints what it found to undo, a line
# each; `broker` for one that runs here and whose files are not jtest's.
state=/var/lib/jtest
begin='# jtest begin: names of the cluster, removed by jtest teardown'
if grep -q "^$begin\$" /etc/hosts; then
  rest=$(sed "/^$begin\$/,/^# jtest end\$/d" /etc/hosts; printf .)
  printf '%s' "${rest%.}" >/etc/hosts
  echo 'names in /etc/hosts'
fi
if grep -qsxF '# Written by jtest, for as long as it installs a broker.' /usr/sbin/policy-rc.d; then
  rm -f /usr/sbin/policy-rc.d
fi
# Where the broker's data has a file system of its own, the package cannot remove its mount point, and
# fails. The file system is mounted elsewhere meanwhile, and emptied.
aside=/run/jtest-aside
set_aside() {
  if ! mountpoint -q /var/lib/rabbitmq; then return 0; fi
  mkdir -p "$aside"
  mount --bind /var/lib/rabbitmq "$aside"
  trap put_back EXIT
  find "$aside" -mindepth 1 -delete
  umount /var/lib/rabbitmq
}
put_back() {
  if ! mountpoint -q "$aside"; then return 0; fi
  mkdir -p /var/lib/rabbitmq
  mount --bind "$aside" /var/lib/rabbitmq
  umount "$aside"
  rmdir "$aside"
  chown root:root /var/lib/rabbitmq
  chmod 755 /var/lib/rabbitmq
}
if [ ! -d "$state" ]; then
  if systemctl is-active --quiet rabbitmq-server 2>/dev/null; then echo broker; fi
  exit 0
fi
if [ -s "$state/cookie" ]; then
  rabbit_kill
  rm -rf /var/lib/rabbitmq/mnesia
  echo 'the broker and its data'
else
  # A broker that was here before, with data of its own.
  case $(systemctl is-active rabbitmq-server 2>/dev/null) in
  active | activating | deactivating | reloading)
    timeout 120 systemctl stop rabbitmq-server || { echo 'the broker that was here before does not stop' >&2; exit 1; }
    ;;
  esac
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
systemctl reset-failed rabbitmq-server 2>/dev/null || true
# An installation that was cut short has not told what it added.
if [ -e "$state/packages.before" ]; then
  dpkg --configure -a >/dev/null 2>&1 || true
  dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u |
    comm -13 "$state/packages.before" - >>"$state/packages.installed"
fi
if [ -s "$state/packages.installed" ]; then
  export DEBIAN_FRONTEND=noninteractive
  if grep -qsx rabbitmq-server "$state/packages.installed"; then set_aside; fi
  xargs apt-get -qq -y -o DPkg::Lock::Timeout=180 -o Dpkg::Use-Pty=0 purge <"$state/packages.installed" >/dev/null
  echo "packages: $(wc -l <"$state/packages.installed")"
fi
if grep -qsx rabbitmq-server "$state/packages.installed"; then
  rm -rf /etc/rabbitmq /var/log/rabbitmq
  rm -rf /var/lib/rabbitmq
  if [ -e "$state/user.none" ]; then
    userdel rabbitmq 2>/dev/null || true
    groupdel rabbitmq 2>/dev/null || true
  fi
elif [ -e "$state/was-active" ]; then
  systemctl start rabbitmq-server
fi
rm -rf "$state"
