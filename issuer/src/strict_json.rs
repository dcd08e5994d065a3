//! JSON with one meaning: no duplicate members, bounded depth and lists.
//!
//! Two parsers that disagree about which of two `"sub"` members counts are an attack; so there is never a second.

use std::cell::Cell;
use std::fmt;

use gatepass_api::limit;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why bytes are not acceptable JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON in UTF-8, or something follows it.
    #[error("it is not JSON")]
    Syntax,
    /// The outermost value is not an object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// A member occurs twice in one object.
    #[error("a member occurs twice")]
    Duplicate,
    /// Nested more than [`limit::DEPTH`] levels.
    #[error("it is nested too deeply")]
    TooDeep,
    /// A list of more than [`limit::LIST`] elements.
    #[error("a list in it is too long")]
    ListTooLong,
}

/// Parses `bytes` as one JSON object and nothing else.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    let fault = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Seed {
        depth: limit::DEPTH,
        fault: &fault,
    }
    .deserialize(&mut deserializer)
    .map_err(|_| fault.get().unwrap_or(Error::Syntax))?;
    deserializer.end().map_err(|_| Error::Syntax)?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Error::NotAnObject),
    }
}

/// Builds a value with `depth` levels left.
#[derive(Clone, Copy)]
struct Seed<'a> {
    depth: usize,
    fault: &'a Cell<Option<Error>>,
}

impl Seed<'_> {
    fn fail<E: serde::de::Error>(self, fault: Error) -> E {
        self.fault.set(Some(fault));
        E::custom(fault)
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(self.fail(Error::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| self.fail(Error::Syntax))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(inner)? {
            if list.len() == limit::LIST {
                return Err(self.fail(Error::ListTooLong));
            }
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(inner)?;
            if members.insert(name, value).is_some() {
                return Err(self.fail(Error::Duplicate));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests;
