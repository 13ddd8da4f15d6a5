//! Further places to listen: `[[server.listeners]]` of the file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Error;
use super::input_value::InputValue;
use super::tables::Tables;
use super::value_type::{Boolean, FileMode, ListenPlace};
use crate::net::{ListenAddress, ListenerConfig};

const KNOWN: [&str; 4] = ["address", "mode", "proxy_protocol", "tls"];

impl Tables<'_> {
    /// Reads the listeners.
    pub(super) fn listeners(&mut self, value: &Spanned<DeValue<'_>>) {
        self.each_table("server.listeners", value, |tables, item, table| {
            let Some(listener) = tables.listener(item, table) else { return };
            let listeners = &mut tables.builder.config.server.listeners;
            let path = format!("server.listeners[{}]", listeners.len());
            listeners.push(listener);
            tables.builder.origins.record(path, tables.file.at(item));
        });
    }

    fn listener(&mut self, item: &Spanned<DeValue<'_>>, table: &DeTable<'_>) -> Option<ListenerConfig> {
        let errors_before = self.builder.errors.len();
        self.only(&KNOWN, table, "server.listeners.");
        let address = self.required("a listener", "address", item, table);
        let address = address.and_then(|value| self.read_as(ListenPlace, "server.listeners.address", value));
        let given_mode = table.get("mode");
        let mode = given_mode.and_then(|value| self.read_as(FileMode, "server.listeners.mode", value));
        let switch = |tables: &mut Self, name: &str| {
            let value = table.get(name)?;
            tables.read_as(Boolean, &format!("server.listeners.{name}"), value)
        };
        let (proxy_protocol, tls) = (switch(self, "proxy_protocol"), switch(self, "tls"));
        let mut listener = ListenerConfig::new(address?);
        listener.mode = mode.unwrap_or(listener.mode);
        listener.proxy_protocol = proxy_protocol.unwrap_or(listener.proxy_protocol);
        listener.tls = tls.unwrap_or(listener.tls);
        if let (ListenAddress::Tcp(..), Some(value), Some(_)) = (&listener.address, given_mode, mode) {
            self.builder.errors.push(Error::Value {
                at: self.file.at(value),
                key: "server.listeners.mode".to_owned(),
                expected: "left out where the address is no Unix socket".to_owned(),
                got: InputValue::Toml(value.get_ref()).describe(),
            });
        }
        (self.builder.errors.len() == errors_before).then_some(listener)
    }
}
