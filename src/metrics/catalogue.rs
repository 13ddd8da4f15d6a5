//! Every metric that the broker exposes. docs/monitoring.md is made of this list.

use super::metric::{Metric, MetricType, metrics};

metrics! {
    BUILD = Info "heliostat_build_info" ["version"]
        "The version of the broker.";

    CONNECTIONS = Gauge "heliostat_connections" ["app_id"]
        "Connections of clients that are open: WebSockets, sessions of the HTTP fallbacks and streams over HTTP.";
    SUBSCRIPTIONS = Gauge "heliostat_subscriptions" ["app_id"]
        "Subscriptions of connections to channels.";
    CHANNELS = Gauge "heliostat_channels" ["app_id", "type"]
        "Channels that somebody is subscribed to, on any node, by the type that their names begin with. Each node of a cluster has the same: take one, or the maximum, not the sum.";
    MEMBERS = Gauge "heliostat_presence_members" ["app_id"]
        "Distinct members of presence channels on all nodes, channel by channel. Each node of a cluster has the same.";

    CONNECTIONS_OPENED = Counter "heliostat_connections_opened_total" ["app_id"]
        "Connections of clients that were accepted.";
    CONNECTIONS_ENDED = Counter "heliostat_connections_ended_total" ["app_id", "code"]
        "Connections of clients that have ended, by the close code. 1005: the client left and named none; 1006: the line \
         was lost; other: a code that is neither the broker's nor the WebSocket protocol's.";
    CACHED_EVENTS = Gauge "heliostat_cached_events" ["app_id"]
        "Events that cache channels remember.";
    CACHED_BYTES = Gauge "heliostat_cached_bytes" ["app_id"]
        "Bytes of the events that cache channels remember.";
    HISTORY_EVENTS = Gauge "heliostat_history_events" ["app_id"]
        "Events that channels keep for those who come back or later.";
    HISTORY_BYTES = Gauge "heliostat_history_bytes" ["app_id"]
        "Bytes that these count as, and the channels that are there for their sake alone.";
    HISTORY_CHANNELS = Gauge "heliostat_history_channels" ["app_id"]
        "Channels that keep events, or that nobody is subscribed to and that are known for the sake of their histories.";
    HISTORY_LOST = Counter "heliostat_history_lost_total" ["reason"]
        "Events that are not kept any more, by the bound that was passed: the channel's events, bytes or seconds, or the \
         history_bytes of the app or the node; or because they are not to be kept (switched_off), or it is not known what \
         came behind them on other nodes (gap).";
    HISTORY_GAPS = Counter "heliostat_history_gaps_total" []
        "How often it was not known what a channel with a history had on other nodes: whoever was there was told pusher:resumed.";
    RESUMED = Counter "heliostat_resumed_total" ["complete"]
        "Subscribers who were told pusher:resumed: that they have been sent everything they missed, or that they may have \
         missed something.";
    REPLAYED = Counter "heliostat_replayed_events_total" []
        "Events of histories that were sent to subscribers when they joined.";
    REPLAYS_TOO_LARGE = Counter "heliostat_replays_too_large_total" []
        "Subscribers who were sent nothing of what they missed, because it was more than may be sent at once.";
    NAMES = Gauge "heliostat_recovery_names" ["state"]
        "Names that clients have given themselves: held by a connection, left and kept for its return, or shared by several \
         clients and therefore nobody's.";
    CURSORS = Gauge "heliostat_recovery_cursors" []
        "Channels of these of which it is kept what the client has received.";
    CURSOR_BYTES = Gauge "heliostat_recovery_cursor_bytes" []
        "Bytes that that takes.";
    NAMES_TAKEN_OVER = Counter "heliostat_recovery_takeovers_total" []
        "Connections that were closed because another one came with their name.";
    NAMES_FORGOTTEN = Counter "heliostat_recovery_forgotten_names_total" []
        "Names that were forgotten before their time, for want of room.";
    NOT_HELD = Counter "heliostat_recovery_unnamed_connections_total" ["reason"]
        "Connections that came with a name and are served without recovery: several clients have the name (shared), \
         there is no room for it (full), or a node of another release has told of it what this one cannot read (foreign).";
    PINGS = Counter "heliostat_recovery_pings_total" []
        "Pings that were sent behind events, to learn what has arrived.";
    NAMES_MOVED = Counter "heliostat_recovery_moved_names_total" ["direction"]
        "Names that this node has taken from another one (in), and those that another one has taken from it (out).";
    NAME_NOTES = Counter "heliostat_recovery_notes_total" ["result"]
        "Notes of names for the other nodes: that the engine has taken (written), of which it had another one (refused), and \
         that it has not answered (failed).";
    NAME_NOTES_WAITING = Gauge "heliostat_recovery_waiting_notes" []
        "Notes of names that are to be written.";
    NAMES_LATE = Counter "heliostat_recovery_late_names_total" []
        "Names that clients came with and of which it was not known in time what other nodes know.";
    VIDEO_TRACKS = Gauge "heliostat_video_tracks" []
        "Tracks of video channels that somebody holds.";
    VIDEO_CACHE_BYTES = Gauge "heliostat_video_cache_bytes" []
        "Bytes that are kept of them for viewers that come later, and the tracks as such.";
    VIDEO_FRAMES = Counter "heliostat_video_frames_total" ["result"]
        "Messages of tracks that viewers were to be sent: that were queued for them (queued), of which some may have been given up \
         later; that were given up, as the viewer was too far behind (cut); or left out, as no other refers to them \
         (left_out).";
    VIDEO_MOVES = Counter "heliostat_video_moves_total" ["direction"]
        "Viewers that were moved to the small rendition (down), or to the full one (up).";
    VIDEO_REQUESTS = Counter "heliostat_video_keyframe_requests_total" []
        "Key frames that publishers were asked for.";
    VIDEO_REFUSED = Counter "heliostat_video_refused_messages_total" []
        "Messages of tracks that were not taken, but for those of clients that may not film and those over the rate.";
    MISSED_CHANNELS = Gauge "heliostat_cache_missed_channels" ["app_id"]
        "Cache channels that somebody subscribed to while they remembered nothing, and that have remembered nothing since.";
    PUBLISH_IDS = Gauge "heliostat_publish_ids" []
        "Ids that backends have given to what they published within the last ten minutes, or are publishing.";
    PUBLISH_ID_BYTES = Gauge "heliostat_publish_id_bytes" []
        "Bytes of memory for these ids and the answers under them, about.";
    PUBLISH_IDS_FORGOTTEN = Counter "heliostat_publish_ids_forgotten_total" []
        "Ids that were forgotten before their ten minutes were over, because a bound was reached.";
    REPEATED_PUBLISHES = Counter "heliostat_repeated_publishes_total" []
        "Requests, and events of batches, that were answered as before and not sent again, because their id was known.";
    USERS = Gauge "heliostat_users" ["app_id"]
        "Users who are signed in on this node.";
    WATCHED_USERS = Gauge "heliostat_watched_users" ["app_id"]
        "Users who are on the watchlist of a connection.";
    EVENTS = Counter "heliostat_events_total" ["app_id", "source"]
        "Events that were accepted, by where they came from: client, http or pipe.";
    MESSAGES_RECEIVED = Counter "heliostat_messages_received_total" ["app_id"]
        "Messages that clients have sent: subscriptions, events, pings and everything else.";
    MESSAGES_SENT = Counter "heliostat_messages_sent_total" ["app_id"]
        "Messages that were queued for clients, each for each of them.";
    BYTES_RECEIVED = Counter "heliostat_received_bytes_total" ["app_id"]
        "Bytes that came from connections of clients, framing included, TLS and handshakes not; over the HTTP fallbacks \
         those of messages.";
    BYTES_SENT = Counter "heliostat_sent_bytes_total" ["app_id"]
        "Bytes that were written to connections of clients, framing included, TLS and handshakes not.";
    CONFLATED = Counter "heliostat_conflated_events_total" ["app_id"]
        "Events of latest-only channels that slow subscribers were not sent, because newer ones came first.";
    SLOW_READERS = Counter "heliostat_slow_readers_total" []
        "Connections that were closed with 4100 because more was waiting for them than is allowed.";
    REFUSALS = Counter "heliostat_refusals_total" ["kind", "code"]
        "What was refused, each with a line in the log: connections and backends on the wire (by close code), messages of \
         clients (by error code, 0 where there is none) and requests to the HTTP API (by status).";
    REFUSED_ADDRESSES = Gauge "heliostat_refused_addresses" []
        "Client addresses that were refused within the last minute, where that is bounded.";
    UNSEEN = Counter "heliostat_unseen_refusals_total" []
        "Handshakes and requests that were refused unseen, without a line in the log, because their address had been refused \
         too often.";
    GUESSING_ADDRESSES = Gauge "heliostat_admin_refused_addresses" []
        "Addresses that have shown the admin listener wrong credentials within the last minute, where that is bounded.";
    UNSEEN_GUESSES = Counter "heliostat_admin_unseen_refusals_total" []
        "Requests to the admin listener that were refused without a line in the log, because their address had shown wrong \
         credentials too often.";
    REMOVED_APPS = Gauge "heliostat_removed_apps" []
        "Apps that were removed and whose connections are not gone yet.";

    TURNS = Histogram "heliostat_worker_turn_seconds" ["worker"]
        "How long the turns of a worker take, in which it reads its mailbox and writes to connections.";
    MAILBOX_BYTES = Gauge "heliostat_mailbox_bytes" ["worker"]
        "Bytes of commands that a worker has not read. Above 64 MiB publishers wait.";
    OUTBOX_BYTES = Gauge "heliostat_outbox_bytes" ["worker"]
        "Bytes that wait in the outboxes of a worker's connections.";
    OUTBOX_FRAMES = Gauge "heliostat_outbox_frames" ["worker"]
        "Frames that wait in the outboxes of a worker's connections.";
    WORKER_CONNECTIONS = Gauge "heliostat_worker_connections" ["worker"]
        "Connections of clients that a worker writes to.";
    BLOCKED = Gauge "heliostat_blocked_connections" ["worker"]
        "Connections whose sockets take no more for now.";
    QUEUED_TURNS = Gauge "heliostat_queued_turns" ["worker"]
        "Connections that queue for a turn of their worker.";
    TIMERS = Gauge "heliostat_timers" ["worker"]
        "Times at which a worker will look after something.";

    HTTP_REQUESTS = Counter "heliostat_http_requests_total" ["route", "method", "status"]
        "Requests that were answered: the HTTP API and everything else but WebSockets.";
    HTTP_DURATION = Histogram "heliostat_http_request_duration_seconds" ["route"]
        "From the head of a request to the head of its answer. With the fallbacks (route fallback), that is as long as \
         there is nothing to tell; with streams, until they begin.";
    API_REQUESTS = Counter "heliostat_api_requests_total" ["app_id"]
        "Requests to the HTTP API that were authenticated.";
    API_BYTES_RECEIVED = Counter "heliostat_api_received_bytes_total" ["app_id"]
        "Bytes of the bodies of those.";
    API_BYTES_SENT = Counter "heliostat_api_sent_bytes_total" ["app_id"]
        "Bytes of the bodies of their answers, errors included, but for those that are made while they are sent: \
         streams, and lists of more than 1000 channels.";
    HTTP_UNFINISHED = Gauge "heliostat_http_unfinished_bytes" []
        "Bytes of bodies of requests that have not come whole.";

    SOCKETS = Gauge "heliostat_sockets" []
        "Connections of any kind: WebSockets, and those that speak HTTP.";
    SOCKETS_IDLE = Gauge "heliostat_idle_sockets" []
        "Connections that nothing is asked on, and that end where there is no room for others.";
    SOCKETS_HTTP = Gauge "heliostat_http_sockets" []
        "Connections that speak HTTP. A WebSocket counts until its handshake is answered.";
    SOCKETS_ACCEPTED = Counter "heliostat_sockets_accepted_total" []
        "Connections of any kind that were accepted.";
    SOCKETS_REFUSED = Counter "heliostat_sockets_refused_total" []
        "Connections that were refused because there was no room for them: 503, or over TLS nothing.";
    SOCKETS_EVICTED = Counter "heliostat_sockets_evicted_total" []
        "Connections that were ended for others because they were idle.";
    SOCKETS_TIMED_OUT = Counter "heliostat_sockets_timed_out_total" []
        "Connections that were ended because the client took too long, or because nothing was asked for too long.";
    PROXY_HEADERS_REFUSED = Counter "heliostat_proxy_headers_refused_total" []
        "Connections that were ended because no header of the PROXY protocol came where one is due, or none that could be \
         read or was believed.";
    TLS_HANDSHAKES = Counter "heliostat_tls_handshakes_total" ["result"]
        "TLS handshakes that were completed or have failed.";
    TLS_HANDSHAKES_UNDER_WAY = Gauge "heliostat_tls_handshakes_under_way" []
        "TLS handshakes that wait for the client.";
    CERTIFICATE_EXPIRY = Gauge "heliostat_certificate_expiry_timestamp_seconds" ["certificate"]
        "Until when a certificate that is served is good, in seconds since 1970, by its file.";
    CERTIFICATE_FAILURES = Counter "heliostat_certificate_reload_failures_total" []
        "How often certificates were to be read again and could not be served.";
    FALLBACK_SESSIONS = Gauge "heliostat_fallback_sessions" []
        "Sessions of the HTTP fallbacks, those among them that have not named their app yet.";
    IMPATIENT_SENDS = Counter "heliostat_fallback_impatient_sends_total" []
        "Sends of sessions of the HTTP fallbacks that were taken before one with a lower number, which did not come in time. \
         Told when the session ends. Pages that have several sessions make some, in vain.";
    LIMIT = Gauge "heliostat_limit" ["of"]
        "What there may be at most of what is bounded for the whole node: connections (of clients), sockets, http_sockets. \
         Not there where there is no bound.";

    WEBHOOK_REQUESTS = Counter "heliostat_webhook_requests_total" ["app_id", "result"]
        "Requests to the endpoints of webhooks, each attempt by itself: delivered, or failed.";
    WEBHOOK_EVENTS = Counter "heliostat_webhook_events_total" ["app_id", "result"]
        "Events for webhooks, each for each endpoint: delivered, given_up (not taken in time), dropped (too many waited), \
         lost (they came faster than they could be sorted) or elsewhere (another node of the cluster tells them).";
    WEBHOOK_WAITING = Gauge "heliostat_webhook_waiting_events" ["app_id"]
        "Events that wait for endpoints of webhooks or are under way.";
    WEBHOOK_WAITING_BYTES = Gauge "heliostat_webhook_waiting_bytes" ["app_id"]
        "Bytes of those.";
    WEBHOOK_AGE = Gauge "heliostat_webhook_oldest_seconds" ["app_id"]
        "For how long the oldest of those has waited; 0 if there is none.";
    WEBHOOK_UNSORTED = Gauge "heliostat_webhook_unsorted_events" ["app_id"]
        "Events on their way to the queues of the endpoints.";
    WEBHOOK_HELD = Gauge "heliostat_webhook_held_removals" ["app_id"]
        "Events of channels and members that have gone, held back in case they return.";

    RELAY_EVENTS = Counter "heliostat_relay_events_total" ["app_id", "result"]
        "Events for other servers, each for each relay: sent, refused (by the server), unknown (written, and no answer tells \
         more), dropped (too many waited), given_up (not sent in time) or not_relayed (another server has relayed them here).";
    RELAY_RETRIES = Counter "heliostat_relay_retries_total" ["app_id"]
        "Requests of relays that were sent again, because nothing of them was written or the server had done nothing.";
    RELAY_WAITING = Gauge "heliostat_relay_waiting_events" ["app_id"]
        "Events that wait to be relayed or are under way.";
    RELAY_WAITING_BYTES = Gauge "heliostat_relay_waiting_bytes" ["app_id"]
        "Bytes of those.";
    RELAY_AGE = Gauge "heliostat_relay_oldest_seconds" ["app_id"]
        "For how long the oldest of those has waited; 0 if there is none.";

    PIPE_BACKENDS = Gauge "heliostat_pipe_backends" ["app_id"]
        "Backends that are connected to the pipe.";
    PIPE_WAITING = Gauge "heliostat_pipe_waiting_notifications" ["app_id"]
        "Notifications that wait for backends.";
    PIPE_WAITING_BYTES = Gauge "heliostat_pipe_waiting_bytes" ["app_id"]
        "Bytes of those.";
    PIPE_ANSWER_BYTES = Gauge "heliostat_pipe_answer_bytes" ["app_id"]
        "Bytes of answers that wait for backends.";
    PIPE_MISSED = Counter "heliostat_pipe_missed_notifications_total" ["app_id"]
        "Notifications that backends were not sent because too many waited.";
    PIPE_REQUESTS_REFUSED = Counter "heliostat_pipe_refused_requests_total" ["app_id"]
        "Requests of backends that were answered with an error.";
    PACED_OUT = Counter "heliostat_pipe_paced_events_total" ["app_id"]
        "Events that rules did not pass on because of their pace: newer ones took their place, or too many targets were busy.";
    RULE_EVENTS = Counter "heliostat_pipe_rule_events_total" ["app_id", "rule", "result"]
        "Events by what a rule did with them, by the place of the rule in the configuration of its app, from 0: heard; sent, each \
         for each target; or not sent, because of the payload, the pace, a newer one that replaced it, because too many \
         targets were busy (full), or because the target is no name of a channel. Not there where there are more than 1000 rules.";
    HOOK_EVENTS = Counter "heliostat_hook_events_total" ["app_id", "hook", "result"]
        "Events that pipes in Rust were to hear, by the number of the pipe: heard, dropped (too many waited), failed, \
         panicked or timed_out.";
    HOOK_WAITING = Gauge "heliostat_hook_waiting_events" ["app_id", "hook"]
        "Events that wait for a pipe in Rust.";
    HOOK_WAITING_BYTES = Gauge "heliostat_hook_waiting_bytes" ["app_id", "hook"]
        "Bytes of those.";

    UPGRADE_LINKED = Gauge "heliostat_upgrade_linked" []
        "Whether this process and another one are one broker for an upgrade at present. This and the following are told where no \
         engine has several nodes be one broker.";
    UPGRADE_TOOK = Gauge "heliostat_upgrade_takeover_seconds" []
        "How long this process, which has succeeded another one, waited until it knew what that one had. Not there where it has \
         succeeded none.";
    UPGRADE_TAKEN_OVER = Counter "heliostat_upgrade_taken_over_total" ["kind"]
        "What this process was handed over by the one before: events of histories, events that cache channels remember (cached), \
         ids that something was published under, removals that webhooks hold back, and names with what their clients have received.";
    UPGRADE_LOST = Counter "heliostat_upgrade_lost_total" ["kind"]
        "What was not taken over: a history of which something was missing, which begins anew; a name for which there was no room; \
         a word of the other process that was dropped or not understood, counted when the two have parted.";

    CLUSTER_BUS_UP = Gauge "heliostat_cluster_bus_up" []
        "1: the other nodes can be reached; 0: the bus counts as away, and this node serves its clients alone. This and all that \
         follows is not there where a node is alone by its configuration.";
    CLUSTER_LINK_UP = Gauge "heliostat_cluster_link_up" []
        "1: what this node says comes back from the engine, on every shard; 0: it does not.";
    CLUSTER_ROUND_TRIP = Gauge "heliostat_cluster_round_trip_seconds" []
        "How long the last probe took to the engine and back. Not there while the link is down.";
    CLUSTER_SETTLED = Gauge "heliostat_cluster_settled" []
        "1: the node has heard what the others have, and takes clients; 0: it is about to.";
    CLUSTER_PEERS = Gauge "heliostat_cluster_peers" []
        "Other nodes that count as alive.";
    CLUSTER_INCOMPLETE_PEERS = Gauge "heliostat_cluster_incomplete_peers" []
        "Those of them of which not everything is known: it has been asked for.";
    CLUSTER_NAMESAKES = Gauge "heliostat_cluster_namesakes" []
        "Those of them that have the name of another node.";
    CLUSTER_PEERS_GONE = Counter "heliostat_cluster_peers_gone_total" ["reason"]
        "Other nodes that are no more: left (they said goodbye) or died (they were silent for too long).";
    CLUSTER_PEER_CHANNELS = Gauge "heliostat_cluster_peer_channels" ["peer"]
        "Channels that somebody is subscribed to on another node, by its name.";
    CLUSTER_PEER_MEMBERS = Gauge "heliostat_cluster_peer_members" ["peer"]
        "Connections of members of presence channels on another node.";
    CLUSTER_PEER_USERS = Gauge "heliostat_cluster_peer_users" ["peer"]
        "Users who are signed in on another node.";
    CLUSTER_PEER_BYTES = Gauge "heliostat_cluster_peer_bytes" ["peer"]
        "Bytes of memory for what is known of another node, about.";
    CLUSTER_SETTINGS_DIFFER = Gauge "heliostat_cluster_settings_differ" ["peer", "setting"]
        "1: another node has this setting otherwise, where all should have it alike (docs/cluster.md). Not there where none differs.";
    CLUSTER_MESSAGES = Counter "heliostat_cluster_messages_total" ["direction", "kind"]
        "Messages between nodes, out and in: event, facts (changes of who is there), heartbeat, snapshot, direct (to one \
         connection or one user), notice (for backends on the pipe), question (what consoles ask, and answers) and feed (for viewers of the console).";
    CLUSTER_BYTES = Counter "heliostat_cluster_bytes_total" ["direction", "kind"]
        "Bytes of those.";
    CLUSTER_LOST = Counter "heliostat_cluster_lost_total" ["reason"]
        "What did not cross. Of this node: away (the bus was), outgoing_full (too much waited for the engine), refused (by the \
         engine). Of others: inbox_full (too much had come), no_room (one says that it has more than a node may have), unreadable, \
         unknown (of another release), departed (of a node that is no more, or not known yet), forged (in this node's name). state_late: events that waited for changes of members in vain, and were delivered. \
         return_late: events of this node that did not come back from the engine in time, and were delivered.";
    CLUSTER_MISSED_EVENTS = Counter "heliostat_cluster_missed_events_total" []
        "Events of other nodes that were missing, by their numbers.";
    CLUSTER_REPEATED_EVENTS = Counter "heliostat_cluster_repeated_events_total" []
        "Events of other nodes that came again, and were delivered once.";
    CLUSTER_STATE_GAPS = Counter "heliostat_cluster_state_gaps_total" []
        "How often changes of another node were missing, by their numbers: then it is asked for all that it has.";
    CLUSTER_SNAPSHOTS = Counter "heliostat_cluster_snapshots_total" ["result"]
        "Lists of all that a node has: asked (of others), given (to others) and taken.";
    CLUSTER_JOINS = Counter "heliostat_cluster_joins_total" ["result"]
        "Subscriptions that were the first of their channel on this node: waited (until the engine confirmed that the channel's \
         events come here), timed_out (they succeeded without) and unconfirmed (they did not wait, because the bus was away).";
    CLUSTER_WAITING_JOINS = Gauge "heliostat_cluster_waiting_joins" []
        "Subscriptions that wait for the engine.";
    CLUSTER_CLAIMED_CHANNELS = Gauge "heliostat_cluster_claimed_channels" []
        "Channels whose events this node hears from others: those with subscribers, and those that had some a moment ago.";
    CLUSTER_INBOX = Gauge "heliostat_cluster_inbox_messages" []
        "Messages of other nodes that have come and are not yet taken.";
    CLUSTER_INBOX_BYTES = Gauge "heliostat_cluster_inbox_bytes" []
        "Bytes of those.";
    CLUSTER_OUTGOING = Gauge "heliostat_cluster_outgoing_messages" []
        "Messages of this node that the engine has not yet taken.";
    CLUSTER_OUTGOING_BYTES = Gauge "heliostat_cluster_outgoing_bytes" []
        "Bytes of those.";
    CLUSTER_WAITING_EVENTS = Gauge "heliostat_cluster_waiting_events" []
        "Events of other nodes that wait for changes of members that came before them.";
    CLUSTER_FOLLOWED = Gauge "heliostat_cluster_followed_channels" []
        "Channels with a history whose streams at the engine this node follows.";
    CLUSTER_CHAINED = Gauge "heliostat_cluster_chained_events" []
        "Events of channels with a history that wait for others before them, which are fetched.";
    CLUSTER_PAGES = Counter "heliostat_cluster_stream_pages_total" []
        "Pages of streams that were fetched from the engine: for channels that become occupied here, and for what was missing.";
    CLUSTER_HOLES = Counter "heliostat_cluster_stream_holes_total" ["reason"]
        "How often events of a channel with a history may be missing here, which clients are told: trimmed (the stream does not reach \
         back far enough), unfetched (it could not be read in time), engine (it is another one) and lost (a node had to drop what it \
         accepted while the engine was away).";
    CLUSTER_OWED = Gauge "heliostat_cluster_owed_events" []
        "Events of channels with a history that this node has accepted and the engine could not take yet.";
    CLUSTER_OWED_BYTES = Gauge "heliostat_cluster_owed_bytes" []
        "Bytes of those.";
    CLUSTER_UNTOLD = Gauge "heliostat_cluster_untold_changes" []
        "Changes of other nodes' clients that have been taken, and that this node's clients have not been told yet.";
    CLUSTER_UNSAID = Gauge "heliostat_cluster_unsaid_changes" []
        "Changes of this node that the others have not been told yet.";
    CLUSTER_APPS_REFUSED = Counter "heliostat_cluster_apps_refused_total" []
        "How often this node could not take the apps of the cluster, or give it its own: the log says why.";
    CLUSTER_UNREADABLE_APPS = Gauge "heliostat_cluster_unreadable_apps" []
        "Apps of the cluster that this release cannot read. They stay on this node as they were.";

    USAGE_ROWS = Gauge "heliostat_usage_rows" []
        "Figures that /usage has, one for each day and each app that has used something then. Not there where nobody takes \
         note: without an admin listener and without admin.usage_file.";
    USAGE_FAILURES = Counter "heliostat_usage_file_failures_total" []
        "How often admin.usage_file could not be read or written. It is tried again each minute; the figures stay in memory.";

    CONSOLE_VIEWERS = Gauge "heliostat_console_viewers" []
        "Viewers of the console's live feed.";
    CONSOLE_NODES = Gauge "heliostat_console_watching_nodes" []
        "Other nodes to whose viewers this node passes on what happens on it.";
    CONSOLE_BYTES = Gauge "heliostat_console_feed_bytes" []
        "Bytes of what is kept for viewers of the console's live feed: nothing while there are none.";
    CONSOLE_ENTRIES = Counter "heliostat_console_entries_total" []
        "What has happened that some viewer of the console's live feed wanted to be told of, and an entry was made of.";
    CONSOLE_LEFT_OUT = Counter "heliostat_console_entries_left_out_total" []
        "What has happened that some viewer of the console's live feed wanted to be told of, and no entry was made of: there was \
         too much of its kind in a second. Viewers are told how much that was.";

    LOG_LINES = Counter "heliostat_log_lines_lost_total" ["reason"]
        "Lines of the log that were not written: dropped (nobody read them in time) or left_out (the same place in the \
         program had said as much before).";
    LOG_WAITING = Gauge "heliostat_log_waiting_bytes" []
        "Bytes of the log that wait to be written.";

    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "Time of processors that the process has taken, in user and system mode. Linux only.";
    PROCESS_OPEN_FILES = Gauge "process_open_fds" []
        "Files that the process has open. Each connection is one. Linux only.";
    PROCESS_MAX_FILES = Gauge "process_max_fds" []
        "Files that the process may have open. Not there where the system sets no limit.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" []
        "Memory that the process has in RAM. Linux only.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" []
        "Addresses that the process has mapped, which is not memory that it uses. Linux only.";
    PROCESS_START = Gauge "process_start_time_seconds" []
        "When the process was started, in seconds since 1970. Linux only.";
}
