# Takes the rules of the cut $1 away.
systemctl stop "jtest-flap-$1.service" 2>/dev/null || true
firewall_forget "$1" "$jtest_dir/firewall"
