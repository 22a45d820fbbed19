# Who belongs to the cluster and to the queue. $1: forget, reset, shrink, grow or transfer, $2: the queue under test, $3: the
# fault's key.
member_data=/var/lib/rabbitmq/mnesia
member_unit=/run/systemd/system/rabbitmq-server.service.d/jtest-member.conf

member_me() {
  rabbit_eval 'atom_to_list(node())'
}

# What belongs where is changed by a broker whose application runs. There is no waiting for it: another fault's undo
# may have to bring it back.
member_ready() {
  if [ "$(rabbit_app)" = running ]; then return; fi
  echo "the broker's application is down here, and no membership can be changed until \`rabbitmqctl start_app\`" >&2
  return 1
}

# A node that runs besides this one.
member_other() {
  rabbit_eval 'case [N || N <- nodes(), lists:keymember(rabbit, 1, case rpc:call(N, application, which_applications, []) of L when is_list(L) -> L; _ -> [] end)] of [] -> ""; [N | _] -> atom_to_list(N) end'
}

# All nodes of the cluster as another sees them: $1; or this one, without it.
member_cluster() {
  rabbit_eval 'lists:flatten(lists:join(" ", [atom_to_list(N) || N <- case erlang:function_exported(rabbit_nodes, list_members, 0) of true -> rabbit_nodes:list_members(); false -> rabbit_nodes:all() end]))' "${1-}"
}

# Empty, into the cluster of another: $1. The application is down meanwhile.
member_join() {
  rabbitmqctl -q reset </dev/null 2>/dev/null || rabbitmqctl -q force_reset </dev/null
  rabbitmqctl -q join_cluster "$1" </dev/null
}

# The nodes that have a replica of the queue.
member_replicas() {
  rabbit_eval "case rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, $(rabbit_queue "$1"))) of
      {ok, Q} -> case amqqueue:get_type_state(Q) of
        #{nodes := L} when is_list(L) -> lists:flatten(lists:join(\" \", [atom_to_list(N) || N <- L]));
        #{nodes := M} when is_map(M) -> lists:flatten(lists:join(\" \", [atom_to_list(N) || N <- maps:keys(M)]));
        _ -> \"\" end;
      _ -> \"\" end"
}

member_leader() {
  rabbit_eval "{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, $(rabbit_queue "$1"))),
    case amqqueue:get_pid(Q) of {Name, _} -> {ok, _, {_, Leader}} = ra:members({Name, node()}), atom_to_list(Leader); P -> atom_to_list(node(P)) end"
}

member_add_replica() {
  member_name=$(member_me) || return 1
  member_now=$(member_replicas "$1") || return 1
  case " $member_now " in
    '  ' | *" $member_name "*) ;;
    *) rabbitmq-queues -q add_member "$1" "$member_name" </dev/null >/dev/null ;;
  esac
}

# What was there before stays.
member_remove_replica() {
  if [ ! -e "$jtest_fault/grown" ] || ! rabbit_runs; then return 0; fi
  member_name=$(member_me) || return 1
  member_now=$(member_replicas "$1") || return 1
  case " $member_now " in
    *" $member_name "*) rabbitmq-queues -q delete_member "$1" "$member_name" </dev/null >/dev/null ;;
  esac
}

look() {
  case $1 in
    forget | reset)
      look_other=$(cat "$jtest_fault/other" 2>/dev/null || member_other) || look_other=
      look_me=$(cat "$jtest_fault/me" 2>/dev/null || member_me) || look_me=
      echo "me=$look_me"
      if [ -n "$look_other" ]; then
        case " $(member_cluster "$look_other") " in
          *" $look_me "*) echo 'known=yes' ;;
          '  ') ;;
          *) echo 'known=no' ;;
        esac
      fi
      echo "data=$(stat -c %i "$member_data/$look_me" 2>/dev/null || true)"
      look_app=$(rabbit_app 2>/dev/null || true)
      echo "app=$look_app"
      if [ -n "$look_other" ] && [ "$look_app" = running ]; then
        case " $(member_cluster 2>/dev/null) " in
          *" $look_other "*) echo 'knows=yes' ;;
          '  ') ;;
          *) echo 'knows=no' ;;
        esac
      fi
      ;;
    shrink | grow) echo "me=$(member_me)"; echo "replicas=$(member_replicas "$2")" ;;
    transfer) echo "me=$(member_me)"; echo "leader=$(member_leader "$2")" ;;
  esac
}

inject() {
  inject_me=$(member_me) || return 1
  member_ready
  case $1 in
    transfer)
      rabbit_eval "{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, $(rabbit_queue "$2"))),
        {Name, _} = amqqueue:get_pid(Q),
        {ok, _, Leader} = ra:members({Name, node()}),
        ok = ra:transfer_leadership(Leader, {Name, node()}), \"done\"" | grep -q done
      ;;
    shrink)
      : >"$jtest_fault/shrunk"
      rabbitmq-queues -q delete_member "$2" "$inject_me" </dev/null >/dev/null
      ;;
    grow)
      case " $(member_replicas "$2") " in
        '  ')
          echo "$2 is no quorum queue here" >&2
          return 1
          ;;
        *" $inject_me "*)
          echo "$2 has a replica here already" >&2
          return 1
          ;;
      esac
      : >"$jtest_fault/grown"
      rabbitmq-queues -q add_member "$2" "$inject_me" </dev/null >/dev/null
      ;;
    forget | reset)
      inject_other=$(member_other) || return 1
      if [ -z "$inject_other" ]; then
        echo 'no other node of the cluster runs' >&2
        return 1
      fi
      printf '%s\n' "$inject_other" >"$jtest_fault/other"
      printf '%s\n' "$inject_me" >"$jtest_fault/me"
      sync "$jtest_fault/other" "$jtest_fault/me"
      if [ "$1" = forget ]; then
        rabbitmqctl -q stop_app </dev/null
        rabbitmqctl -q -n "$inject_other" forget_cluster_node "$inject_me" </dev/null
        return
      fi
      mkdir -p "${member_unit%/*}"
      printf '[Service]\nRestart=no\n' >"$member_unit"
      systemctl daemon-reload
      systemctl kill --signal=KILL rabbitmq-server.service
      while systemctl is-active --quiet rabbitmq-server.service; do sleep 0.1; done
      rm -rf "${member_data:?}/$inject_me" "${member_data:?}/$inject_me"-*
      ;;
  esac
}

undo() {
  case $1 in
    transfer) return ;;
    shrink)
      if [ ! -e "$jtest_fault/shrunk" ]; then return; fi
      member_ready
      member_add_replica "$2"
      return
      ;;
    grow) member_remove_replica "$2"; return ;;
  esac
  undo_other=$(cat "$jtest_fault/other" 2>/dev/null) || return 0
  undo_me=$(cat "$jtest_fault/me")
  if [ "$1" = forget ]; then
    case " $(member_cluster "$undo_other") " in
      *" $undo_me "*) ;;
      *) member_join "$undo_other" ;;
    esac
    rabbitmqctl -q start_app </dev/null
  else
    rm -f "$member_unit"
    rmdir "${member_unit%/*}" 2>/dev/null || true
    systemctl daemon-reload
    if ! systemctl is-active --quiet rabbitmq-server.service; then
      rabbitmqctl -q -n "$undo_other" forget_cluster_node "$undo_me" </dev/null || true
      systemctl reset-failed rabbitmq-server.service 2>/dev/null || true
      systemctl start rabbitmq-server.service
    fi
    rabbitmqctl -q await_startup --timeout 90 </dev/null
    # One that could reach none of the others when it started has begun a cluster of its own.
    undo_now=$(member_cluster) || return 1
    case " $undo_now " in
      *" $undo_other "*) ;;
      *)
        rabbitmqctl -q stop_app </dev/null
        rabbitmqctl -q -n "$undo_other" forget_cluster_node "$undo_me" </dev/null || true
        member_join "$undo_other"
        rabbitmqctl -q start_app </dev/null
        ;;
    esac
  fi
  member_add_replica "$2"
}
