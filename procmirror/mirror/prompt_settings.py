"""Settings below /proc/sys whose reads take no lock of the kernel: by directory, an allow list.

Each is one number or some, printed by a handler of kernel/sysctl.c (proc_dointvec and its kin,
proc_doulongvec_minmax), or by one that calls such a handler and does more only for a write. What is
not known is not here. Nor is a setting whose handler takes a mutex or rtnl for a read as well
(`dev_weight`, `watchdog`, `addr_gen_mode`, `stable_secret`) or uts_sem (`hostname`), or which does
something when it is read (`shm_rmid_forced` removes segments). `high_order_alloc_disable` and, from
Linux 7 on, `skb_defer_max` take a mutex, which a writer holds while all processors take on changed
code.
"""

from __future__ import annotations


def _names(words: str, prefix: str = "") -> frozenset[bytes]:
    return frozenset(f"{prefix}{word}".encode() for word in words.split())


# net/ipv4/devinet.c
_CONF4 = _names(
    "accept_local accept_redirects accept_source_route arp_accept arp_announce "
    "arp_evict_nocarrier arp_filter arp_ignore arp_notify bc_forwarding bootp_relay "
    "disable_policy disable_xfrm drop_gratuitous_arp drop_unicast_in_l2_multicast "
    "force_igmp_version forwarding igmpv2_unsolicited_report_interval "
    "igmpv3_unsolicited_report_interval ignore_routes_with_linkdown log_martians mc_forwarding "
    "medium_id promote_secondaries proxy_arp proxy_arp_pvlan route_localnet rp_filter "
    "secure_redirects send_redirects shared_media src_valid_mark tag"
)
# net/ipv6/addrconf.c
_CONF6 = _names(
    "accept_dad accept_ra accept_ra_defrtr accept_ra_from_local accept_ra_min_hop_limit "
    "accept_ra_min_lft accept_ra_mtu accept_ra_pinfo accept_ra_rt_info_max_plen "
    "accept_ra_rt_info_min_plen accept_ra_rtr_pref accept_redirects accept_source_route "
    "accept_untracked_na autoconf dad_transmits disable_ipv6 disable_policy "
    "drop_unicast_in_l2_multicast drop_unsolicited_na enhanced_dad force_forwarding "
    "force_mld_version force_tllao forwarding hop_limit ignore_routes_with_linkdown ioam6_enabled "
    "ioam6_id ioam6_id_wide keep_addr_on_down max_addresses max_desync_factor mc_forwarding "
    "mldv1_unsolicited_report_interval mldv2_unsolicited_report_interval mtu "
    "ndisc_evict_nocarrier ndisc_notify ndisc_tclass optimistic_dad proxy_ndp ra_defrtr_metric "
    "ra_honor_pio_life ra_honor_pio_pflag regen_max_retry regen_min_advance router_probe_interval "
    "router_solicitation_delay router_solicitation_interval router_solicitation_max_interval "
    "router_solicitations rpl_seg_enabled seg6_enabled seg6_require_hmac suppress_frag_ndisc "
    "temp_prefered_lft temp_valid_lft use_oif_addrs_only use_optimistic use_tempaddr"
)
# net/core/neighbour.c
_NEIGH = _names(
    "anycast_delay app_solicit base_reachable_time base_reachable_time_ms delay_first_probe_time "
    "gc_interval gc_stale_time gc_thresh1 gc_thresh2 gc_thresh3 interval_probe_time_ms locktime "
    "mcast_resolicit mcast_solicit proxy_delay proxy_qlen retrans_time retrans_time_ms "
    "ucast_solicit unres_qlen unres_qlen_bytes"
)
# net/ipv4/sysctl_net_ipv4.c, inet_fragment.c and ip_fragment.c
_IPV4 = _names(
    "cipso_cache_bucket_size cipso_cache_enable cipso_rbm_optfmt cipso_rbm_strictvalid "
    "fib_multipath_hash_fields fib_multipath_hash_policy fib_multipath_hash_seed "
    "fib_multipath_use_neigh fib_notify_on_flag_change fib_sync_mem fwmark_reflect "
    "icmp_echo_enable_probe icmp_echo_ignore_all icmp_echo_ignore_broadcasts "
    "icmp_errors_use_inbound_ifaddr icmp_ignore_bogus_error_responses icmp_msgs_burst "
    "icmp_msgs_per_sec icmp_ratelimit icmp_ratemask igmp_link_local_mcast_reports "
    "igmp_max_memberships igmp_max_msf igmp_qrv inet_peer_maxttl inet_peer_minttl "
    "inet_peer_threshold ip_autobind_reuse ip_default_ttl ip_dynaddr ip_early_demux ip_forward "
    "ip_forward_update_priority ip_forward_use_pmtu ip_local_port_range ip_local_reserved_ports "
    "ip_no_pmtu_disc ip_nonlocal_bind ip_unprivileged_port_start ipfrag_high_thresh "
    "ipfrag_low_thresh ipfrag_max_dist ipfrag_secret_interval ipfrag_time nexthop_compat_mode "
    "ping_group_range raw_l3mdev_accept udp_child_hash_entries udp_early_demux udp_hash_entries "
    "udp_l3mdev_accept udp_mem udp_rmem_min udp_wmem_min xfrm4_gc_thresh"
) | _names(
    "abort_on_overflow adv_win_scale allowed_congestion_control app_win autocorking "
    "available_congestion_control available_ulp backlog_ack_defer base_mss challenge_ack_limit "
    "child_ehash_entries comp_sack_delay_ns comp_sack_nr comp_sack_slack_ns congestion_control "
    "dsack early_demux early_retrans ecn ecn_fallback ecn_option ecn_option_beacon ehash_entries "
    "fack fastopen fastopen_blackhole_timeout_sec fin_timeout frto fwmark_accept "
    "invalid_ratelimit keepalive_intvl keepalive_probes keepalive_time l3mdev_accept "
    "limit_output_bytes low_latency max_orphans max_reordering max_syn_backlog max_tw_buckets mem "
    "migrate_req min_rtt_wlen min_snd_mss min_tso_segs moderate_rcvbuf mtu_probe_floor "
    "mtu_probing no_metrics_save no_ssthresh_metrics_save notsent_lowat orphan_retries "
    "pacing_ca_ratio pacing_ss_ratio pingpong_thresh plb_cong_thresh plb_enabled "
    "plb_idle_rehash_rounds plb_rehash_rounds plb_suspend_rto_sec probe_interval probe_threshold "
    "recovery reflect_tos reordering retrans_collapse retries1 retries2 rfc1337 rmem rto_max_ms "
    "rto_min_us sack shrink_window slow_start_after_idle stdurg syn_linear_timeouts syn_retries "
    "synack_retries syncookies thin_linear_timeouts timestamps tso_rtt_log tso_win_divisor "
    "tw_reuse tw_reuse_delay window_scaling wmem workaround_signed_windows",
    "tcp_",
)
# net/ipv4/route.c and net/ipv6/route.c
_ROUTE = _names(
    "error_burst error_cost gc_elasticity gc_interval gc_min_interval gc_min_interval_ms "
    "gc_thresh gc_timeout max_size min_adv_mss min_pmtu mtu_expires redirect_load redirect_number "
    "redirect_silence skip_notify_on_dev_down"
)
# net/ipv6/sysctl_net_ipv6.c and reassembly.c
_IPV6 = _names(
    "anycast_src_echo_reply auto_flowlabels bindv6only calipso_cache_bucket_size "
    "calipso_cache_enable fib_multipath_hash_fields fib_multipath_hash_policy "
    "fib_notify_on_flag_change flowlabel_consistency flowlabel_reflect flowlabel_state_ranges "
    "fwmark_reflect idgen_delay idgen_retries ioam6_id ioam6_id_wide ip6frag_high_thresh "
    "ip6frag_low_thresh ip6frag_secret_interval ip6frag_time ip_nonlocal_bind max_dst_opts_length "
    "max_dst_opts_number max_hbh_length max_hbh_opts_number mld_max_msf mld_qrv seg6_flowlabel "
    "xfrm6_gc_thresh"
)
# net/ipv6/icmp.c
_ICMP6 = _names(
    "echo_ignore_all echo_ignore_anycast echo_ignore_multicast error_anycast_as_unicast ratelimit "
    "ratemask"
)
# net/mptcp/ctrl.c
_MPTCP = _names(
    "add_addr_timeout allow_join_initial_addr_port blackhole_timeout checksum_enabled "
    "close_timeout enabled pm_type stale_loss_cnt syn_retrans_before_tcp_fallback"
)
# net/bridge/br_netfilter_hooks.c
_BRIDGE = _names(
    "call-arptables call-ip6tables call-iptables filter-pppoe-tagged filter-vlan-tagged "
    "pass-vlan-input-dev",
    "bridge-nf-",
)
# net/netfilter/nf_conntrack_standalone.c
_CONNTRACK = _names(
    "acct buckets checksum count events expect_max frag6_high_thresh frag6_low_thresh "
    "frag6_timeout generic_timeout gre_timeout gre_timeout_stream icmp_timeout icmpv6_timeout "
    "log_invalid max sctp_timeout_closed sctp_timeout_cookie_echoed sctp_timeout_cookie_wait "
    "sctp_timeout_established sctp_timeout_heartbeat_sent sctp_timeout_shutdown_ack_sent "
    "sctp_timeout_shutdown_recd sctp_timeout_shutdown_sent tcp_be_liberal tcp_ignore_invalid_rst "
    "tcp_loose tcp_max_retrans tcp_timeout_close tcp_timeout_close_wait tcp_timeout_established "
    "tcp_timeout_fin_wait tcp_timeout_last_ack tcp_timeout_max_retrans tcp_timeout_syn_recv "
    "tcp_timeout_syn_sent tcp_timeout_time_wait tcp_timeout_unacknowledged timestamp udp_timeout "
    "udp_timeout_stream",
    "nf_conntrack_",
)
# net/core/sysctl_net_core.c
_CORE = _names(
    "bpf_jit_enable bpf_jit_harden bpf_jit_kallsyms bpf_jit_limit busy_poll busy_read "
    "default_qdisc devconf_inherit_init_net fb_tunnels_only_for_init_net gro_normal_batch "
    "max_skb_frags mem_pcpu_rsv message_burst message_cost netdev_budget netdev_budget_usecs "
    "netdev_max_backlog netdev_rss_key netdev_tstamp_prequeue netdev_unregister_timeout_secs "
    "optmem_max rmem_default rmem_max somaxconn tstamp_allow_data txrehash warnings wmem_default "
    "wmem_max xfrm_acq_expires xfrm_aevent_etime xfrm_aevent_rseqth xfrm_larval_drop"
)
# kernel/sysctl.c, and what registers settings of its own with the handlers of that file
_KERNEL = _names(
    "acct auto_msgmni bootloader_type bootloader_version cap_last_cap core_file_note_size_limit "
    "core_pattern core_pipe_limit core_sort_vma core_uses_pid ctrl-alt-del dmesg_restrict "
    "hardlockup_all_cpu_backtrace hardlockup_panic hung_task_all_cpu_backtrace "
    "hung_task_check_count hung_task_check_interval_secs hung_task_detect_count hung_task_panic "
    "hung_task_timeout_secs hung_task_warnings io_delay_type io_uring_disabled io_uring_group "
    "kptr_restrict max_lock_depth max_rcu_stall_to_panic modules_disabled msg_next_id msgmax "
    "msgmnb msgmni ngroups_max numa_balancing numa_balancing_promote_rate_limit_MBps "
    "oops_all_cpu_backtrace oops_limit overflowgid overflowuid panic panic_on_io_nmi "
    "panic_on_oops panic_on_rcu_stall panic_on_unrecovered_nmi panic_on_warn panic_print "
    "perf_cpu_time_max_percent perf_event_max_sample_rate perf_event_mlock_kb perf_event_paranoid "
    "poweroff_cmd print-fatal-signals printk printk_delay printk_devkmsg printk_ratelimit "
    "printk_ratelimit_burst randomize_va_space real-root-dev sched_autogroup_enabled "
    "sched_cfs_bandwidth_slice_us sched_deadline_period_max_us sched_deadline_period_min_us sem "
    "sem_next_id shm_next_id shmall shmmax shmmni softlockup_all_cpu_backtrace softlockup_panic "
    "split_lock_mitigate sysctl_writes_strict tainted task_delayacct threads-max "
    "traceoff_on_warning unknown_nmi_panic unprivileged_bpf_disabled warn_limit"
)
# security/keys/sysctl.c, drivers/char/random.c, drivers/tty/pty.c, kernel/seccomp.c
_KEYS = _names("gc_delay maxbytes maxkeys persistent_keyring_expiry root_maxbytes root_maxkeys")
_RANDOM = _names("boot_id entropy_avail poolsize urandom_min_reseed_secs write_wakeup_threshold")
_PTY = _names("max nr reserve")
_SECCOMP = _names("actions_avail actions_logged")
# mm/util.c, mm/page-writeback.c, mm/oom_kill.c, mm/vmscan.c
_VM = _names(
    "admin_reserve_kbytes compact_unevictable_allowed compaction_proactiveness defrag_mode "
    "dirty_background_bytes dirty_background_ratio dirty_bytes dirty_expire_centisecs dirty_ratio "
    "dirty_writeback_centisecs dirtytime_expire_seconds extfrag_threshold "
    "hugetlb_optimize_vmemmap hugetlb_shm_group laptop_mode legacy_va_layout max_map_count "
    "min_free_kbytes mmap_min_addr mmap_rnd_bits mmap_rnd_compat_bits nr_hugepages "
    "nr_overcommit_hugepages oom_dump_tasks oom_kill_allocating_task overcommit_kbytes "
    "overcommit_memory overcommit_ratio page-cluster page_lock_unfairness panic_on_oom "
    "stat_interval swappiness unprivileged_userfaultfd user_reserve_kbytes vfs_cache_pressure "
    "vfs_cache_pressure_denom watermark_boost_factor watermark_scale_factor zone_reclaim_mode"
)
# fs/eventpoll.c, notify/, fuse/sysctl.c, quota/dquot.c, xfs/xfs_sysctl.c, and ipc/mq_sysctl.c
_FS = {
    "epoll": _names("max_user_watches"),
    "fanotify": _names("max_queued_events max_user_groups max_user_marks"),
    "fuse": _names("default_request_timeout max_pages_limit max_request_timeout"),
    "inotify": _names("max_queued_events max_user_instances max_user_watches"),
    "mqueue": _names("msg_default msg_max msgsize_default msgsize_max queues_max"),
    "quota": _names("allocated_dquots cache_hits drops free_dquots lookups reads syncs writes"),
    "xfs": _names(
        "error_level filestream_centisecs inherit_noatime inherit_nodefrag inherit_nodump "
        "inherit_nosymlinks inherit_sync panic_mask rotorstep speculative_prealloc_lifetime "
        "xfssyncd_centisecs"
    ),
}
# kernel/ucount.c
_USER = _names(
    "cgroup_namespaces fanotify_groups fanotify_marks inotify_instances inotify_watches "
    "ipc_namespaces mnt_namespaces net_namespaces pid_namespaces time_namespaces user_namespaces "
    "uts_namespaces",
    "max_",
)

# `*` stands for the name of an interface.
PROMPT_SETTINGS = {
    "net/ipv4/conf/*": _CONF4,
    "net/ipv6/conf/*": _CONF6,
    "net/ipv4/neigh/*": _NEIGH,
    "net/ipv6/neigh/*": _NEIGH,
    "net/ipv4": _IPV4,
    "net/ipv4/route": _ROUTE,
    "net/ipv6": _IPV6,
    "net/ipv6/route": _ROUTE,
    "net/ipv6/icmp": _ICMP6,
    "net/mptcp": _MPTCP,
    "net/bridge": _BRIDGE,
    "net/unix": _names("max_dgram_qlen"),
    "net": _names("nf_conntrack_max"),
    "net/netfilter": _CONNTRACK,
    "net/core": _CORE,
    "kernel": _KERNEL,
    "kernel/keys": _KEYS,
    "kernel/random": _RANDOM,
    "kernel/pty": _PTY,
    "kernel/seccomp": _SECCOMP,
    "vm": _VM,
    "user": _USER,
    **{f"fs/{place}": names for place, names in _FS.items()},
}
