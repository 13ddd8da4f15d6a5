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
        "Channels that somebody is subscribed to, by the type that their names begin with.";
    MEMBERS = Gauge "heliostat_presence_members" ["app_id"]
        "Distinct members of presence channels, channel by channel.";

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
