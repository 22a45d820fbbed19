# The firewall of a host: what is in it, and jtest's own two chains.

firewall_tools='iptables ip6tables iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy'

# All rules of all flavours, without counters and dates. A legacy table cannot be unmade once
# it was touched, so one that holds nothing is left out.
firewall_listing() {
  for tool in $firewall_tools; do
    command -v "$tool-save" >/dev/null 2>&1 || continue
    printf '== %s-save\n' "$tool"
    "$tool-save" 2>/dev/null | sed -e '/^#/d' -e 's/ \[[0-9]*:[0-9]*\]$//' | firewall_omit_empty "$tool"
  done
  if command -v nft >/dev/null 2>&1; then
    echo '== nft list ruleset'
    nft -s list ruleset
  fi
}

firewall_omit_empty() {
  if ! firewall_is_legacy "$1"; then cat; return; fi
  awk '/^\*/ { table = ""; rules = 0 }
    { table = table $0 "\n"; if (!/^\*/ && !/^COMMIT$/ && !/^:[A-Z]+ ACCEPT$/) rules = 1 }
    /^COMMIT$/ && rules { printf "%s", table }'
}

firewall_is_legacy() {
  case $1 in *-nft) return 1 ;; *-legacy) return 0 ;; esac
  case $("$1" -V 2>/dev/null) in *nf_tables*) return 1 ;; *) return 0 ;; esac
}

firewall_has_chains() {
  "$1-save" 2>/dev/null | grep -q '^:JTEST-\(IN\|OUT\) '
}

# Removes the two chains and the jumps to them in one transaction. $1: tool.
firewall_remove_chains() {
  firewall_saved=$("$1-save" 2>/dev/null)
  {
    echo '*filter'
    firewall_unjump
    printf '%s\n' "$firewall_saved" | sed -n 's/^:\(JTEST-IN\|JTEST-OUT\) .*/-F \1/p'
    printf '%s\n' "$firewall_saved" | sed -n 's/^:\(JTEST-IN\|JTEST-OUT\) .*/-X \1/p'
    echo COMMIT
  } | "$1-restore" -w 5 --noflush
}

# A deletion for every jump in $firewall_saved.
firewall_unjump() {
  printf '%s\n' "$firewall_saved" |
    sed -n 's/^-A \(INPUT -j JTEST-IN\|OUTPUT -j JTEST-OUT\)$/-D \1/p'
}

# nf_tables only: removes what came to be by us and holds nothing, which is the whole table
# `filter` or, where nft can tell, its chains INPUT and OUTPUT. $1: tool, $2: the listing from before.
firewall_remove_table() {
  if firewall_is_legacy "$1" || [ ! -s "$2" ]; then return 0; fi
  case $1 in ip6*) firewall_family=ip6 ;; *) firewall_family=ip ;; esac
  for firewall_chain in INPUT OUTPUT; do
    if firewall_has_nft_chain "$2"; then continue; fi
    # It fails where others have put rules into it meanwhile: then it is theirs.
    printf '*filter\n-X %s\nCOMMIT\n' "$firewall_chain" | "$1-restore" --noflush 2>/dev/null || true
  done
  if sed -n "/^== $1-save\$/,/^== /p" "$2" | grep -q '^\*filter$'; then return; fi
  firewall_left=$("$1-save" -t filter 2>/dev/null | sed -e '/^#/d' -e '/^:[A-Z]* ACCEPT \[[0-9:]*\]$/d')
  if [ "$firewall_left" = "*filter
COMMIT" ]; then
    printf '*filter\nCOMMIT\n' | "$1-restore" -w 5
  fi
}

# Whether the listing $1 has no nft to tell, or has $firewall_chain in the table `filter`.
firewall_has_nft_chain() {
  if ! grep -q '^== nft' "$1"; then return 0; fi
  sed -n "/^== nft/,\$ { /^table $firewall_family filter {/,/^}/p }" "$1" |
    grep -q "^[[:space:]]chain $firewall_chain {"
}

# Removes all that is ours, in every flavour; says what it found. $1: the listing from before.
firewall_clean() {
  for tool in $firewall_tools; do
    command -v "$tool-restore" >/dev/null 2>&1 || continue
    if firewall_has_chains "$tool"; then
      firewall_count=$("$tool-save" 2>/dev/null | grep -c '^-A JTEST-' || true)
      firewall_remove_chains "$tool"
      firewall_remove_table "$tool" "$1"
      echo "found=chains in $tool with $firewall_count rules"
    fi
  done
}

# Removes the rules of the fault $1 in every flavour; where no other fault has any, all that is
# ours. $2: the listing from before.
firewall_forget() {
  for tool in $firewall_tools; do
    command -v "$tool-restore" >/dev/null 2>&1 || continue
    firewall_has_chains "$tool" || continue
    firewall_saved=$("$tool-save" 2>/dev/null)
    if printf '%s\n' "$firewall_saved" | grep '^-A JTEST-.* -j DROP$' | grep -q -v -e "--comment \"\{0,1\}jtest-$1[\" ]"; then
      {
        echo '*filter'
        # By their numbers, the last first: not every match is found again by what it is printed as.
        printf '%s\n' "$firewall_saved" | awk -v mark="--comment \"?jtest-$1[\" ]" \
          '/^-A JTEST-/ { number[$2]++; if ($0 ~ mark) print "-D", $2, number[$2] }' | sort -k 3 -n -r
        echo COMMIT
      } | "$tool-restore" -w 5 --noflush
    else
      firewall_remove_chains "$tool"
      firewall_remove_table "$tool" "$2"
    fi
  done
}

# The text of a transaction that adds a fault's rules to our chains, without its COMMIT. The chains
# come before all others, and what is accepted before what is dropped. $1: tool, $2: accepted, $3: dropped.
firewall_transaction() {
  firewall_saved=$("$1-save" 2>/dev/null)
  echo '*filter'
  # To name a chain that exists would empty it.
  if ! printf '%s\n' "$firewall_saved" | grep -q '^:JTEST-IN '; then
    printf '%s\n' ':JTEST-IN - [0:0]' ':JTEST-OUT - [0:0]'
  fi
  firewall_unjump
  printf '%s\n' '-I INPUT 1 -j JTEST-IN' '-I OUTPUT 1 -j JTEST-OUT'
  printf '%s\n' "$2" | while read -r firewall_rule; do
    if [ -z "$firewall_rule" ]; then continue; fi
    if ! printf '%s\n' "$firewall_saved" | sed 's:/\(32\|128\) : :' | grep -q -F -x -e "-A $firewall_rule"; then
      printf '%s\n' "-I $firewall_rule" | sed 's/^-I JTEST-[A-Z]*/& 1/'
    fi
  done
  printf '%s\n' "$3"
}
