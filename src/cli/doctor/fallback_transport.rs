//! The transports of pusher-js and SockJS that receive over HTTP: where each is, and how it answers.

use super::fallback_frames::FrameFormat;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FallbackTransport {
    XhrStreaming,
    XhrPolling,
    SockJsXhrStreaming,
    SockJsXhr,
    SockJsEventSource,
    SockJsHtmlFile,
    SockJsJsonp,
}

impl FallbackTransport {
    pub(super) const ALL: [FallbackTransport; 7] = [
        FallbackTransport::XhrStreaming,
        FallbackTransport::XhrPolling,
        FallbackTransport::SockJsXhrStreaming,
        FallbackTransport::SockJsXhr,
        FallbackTransport::SockJsEventSource,
        FallbackTransport::SockJsHtmlFile,
        FallbackTransport::SockJsJsonp,
    ];

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            FallbackTransport::XhrStreaming => "XHR streaming",
            FallbackTransport::XhrPolling => "XHR polling",
            FallbackTransport::SockJsXhrStreaming => "XHR streaming of SockJS",
            FallbackTransport::SockJsXhr => "XHR polling of SockJS",
            FallbackTransport::SockJsEventSource => "server-sent events of SockJS",
            FallbackTransport::SockJsHtmlFile => "the endless page of SockJS",
            FallbackTransport::SockJsJsonp => "JSONP polling of SockJS",
        }
    }

    /// Whether its paths name the app; otherwise the first message does.
    pub(super) fn is_native(self) -> bool {
        matches!(self, FallbackTransport::XhrStreaming | FallbackTransport::XhrPolling)
    }

    /// Whether one answer brings all that comes.
    pub(super) fn is_stream(self) -> bool {
        match self {
            FallbackTransport::XhrStreaming
            | FallbackTransport::SockJsXhrStreaming
            | FallbackTransport::SockJsEventSource
            | FallbackTransport::SockJsHtmlFile => true,
            FallbackTransport::XhrPolling | FallbackTransport::SockJsXhr | FallbackTransport::SockJsJsonp => {
                false
            }
        }
    }

    pub(super) fn format(self) -> FrameFormat {
        match self {
            FallbackTransport::XhrStreaming
            | FallbackTransport::XhrPolling
            | FallbackTransport::SockJsXhrStreaming
            | FallbackTransport::SockJsXhr => FrameFormat::Lines,
            FallbackTransport::SockJsEventSource => FrameFormat::EventSource,
            FallbackTransport::SockJsHtmlFile => FrameFormat::HtmlFile,
            FallbackTransport::SockJsJsonp => FrameFormat::Jsonp,
        }
    }

    /// The method and the last segment of the path of what receives.
    pub(super) fn receiving(self) -> (&'static str, &'static str) {
        match self {
            FallbackTransport::XhrStreaming | FallbackTransport::SockJsXhrStreaming => {
                ("POST", "xhr_streaming")
            }
            FallbackTransport::XhrPolling | FallbackTransport::SockJsXhr => ("POST", "xhr"),
            FallbackTransport::SockJsEventSource => ("GET", "eventsource"),
            FallbackTransport::SockJsHtmlFile => ("GET", "htmlfile"),
            FallbackTransport::SockJsJsonp => ("GET", "jsonp"),
        }
    }

    /// The last segment of the path of what sends, and the media type of its body.
    pub(super) fn sending(self) -> (&'static str, &'static str) {
        match self {
            FallbackTransport::XhrStreaming | FallbackTransport::XhrPolling => {
                ("xhr_send", "application/json")
            }
            FallbackTransport::SockJsJsonp => ("jsonp_send", "application/x-www-form-urlencoded"),
            FallbackTransport::SockJsXhrStreaming
            | FallbackTransport::SockJsXhr
            | FallbackTransport::SockJsEventSource
            | FallbackTransport::SockJsHtmlFile => ("xhr_send", "text/plain"),
        }
    }
}
