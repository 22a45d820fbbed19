# Gives this host its files; prints `changed` or `same`. Does not start or stop anything, so
# from the first change until the broker has started with it a mark says that it is stale.
# $1 rabbitmq.conf, $2 advanced.config, $3 rabbitmq-env.conf, $4 the unit's drop-in, $5 lines
# for /etc/hosts, $6 the plugins, if they are not those of the broker's own file.
state=/var/lib/jtest
mkdir -p "$state/original"
chmod 700 "$state"
change() { : >"$state/stale"; }
if [ ! -e "$state/cookie" ] && systemctl is-active --quiet rabbitmq-server; then : >"$state/was-active"; fi

# What was there before jtest is kept once, and `none` where nothing was.
keep() {
  original=$state/original/$(printf '%s' "$1" | tr / _)
  if [ ! -e "$original" ] && [ ! -e "$original.none" ]; then
    if [ -e "$1" ]; then cp -p "$1" "$original"; else : >"$original.none"; fi
  fi
}
give() {
  keep "$1"
  if [ "$(cat "$1" 2>/dev/null; printf .)" != "$2." ]; then
    change
    mkdir -p "$(dirname "$1")"
    printf '%s' "$2" >"$1.jtest-new"
    chmod "$3" "$1.jtest-new"
    mv "$1.jtest-new" "$1"
  fi
}
give /etc/rabbitmq/rabbitmq.conf "$1
" 644
give /etc/rabbitmq/advanced.config "$2
" 644
give /etc/rabbitmq/rabbitmq-env.conf "$3
" 644
give /etc/systemd/system/rabbitmq-server.service.d/jtest.conf "$4
" 644
if [ -n "$6" ]; then
  give /etc/rabbitmq/jtest.plugins "$6
" 644
fi

# The block comes first, so that a host's own line for its name (127.0.1.1) does not win.
begin='# jtest begin: names of the cluster, removed by jtest teardown'
end='# jtest end'
without=$(sed "/^$begin\$/,/^$end\$/d" /etc/hosts; printf .)
wanted=$(printf '%s\n%s\n%s\n' "$begin" "$5" "$end"; printf '%s' "$without")
if [ "$(cat /etc/hosts; printf .)" != "$wanted" ]; then
  change
  printf '%s' "${wanted%.}" >/etc/hosts.jtest-new
  chmod 644 /etc/hosts.jtest-new
  # In a container /etc/hosts may be a mount of its own, which cannot be replaced.
  mv /etc/hosts.jtest-new /etc/hosts 2>/dev/null || { cat /etc/hosts.jtest-new >/etc/hosts; rm -f /etc/hosts.jtest-new; }
fi

keep /var/lib/rabbitmq/.erlang.cookie
if [ -e "$state/stale" ]; then echo changed; else echo same; fi
