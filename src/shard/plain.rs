//! A form of serde for the bodies of functions: numbers in their full width, without names.
//!
//! Postcard, which summaries are written with, spends more time on the lengths of numbers than a
//! function is worth: bodies are read and written in the whole program, and thrown away after the
//! build.

use serde::de::{self, DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::ser::{self, Serialize};
use std::fmt;

/// Returns the value as bytes.
pub(super) fn to_bytes(value: &impl Serialize, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let mut writer = Writer { bytes };
    value.serialize(&mut writer)?;
    Ok(writer.bytes)
}

/// Reads a value, and returns the bytes behind it.
pub(super) fn from_bytes<'b, T: de::Deserialize<'b>>(
    bytes: &'b [u8],
) -> Result<(T, &'b [u8]), Error> {
    let mut reader = Reader { bytes };
    let value = T::deserialize(&mut reader)?;
    Ok((value, reader.bytes))
}

/// Why a value cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Error(String);

impl ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error(message.to_string())
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error(message.to_string())
    }
}

fn cut() -> Error {
    Error("it was cut".to_owned())
}

fn unnamed() -> Error {
    Error("the form has no names".to_owned())
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn length(&mut self, length: usize) -> Result<(), Error> {
        let length = u32::try_from(length).map_err(|_| Error("it is too long".to_owned()))?;
        self.bytes.extend_from_slice(&length.to_le_bytes());
        Ok(())
    }

    /// Enumerations rarely have more than 255 variants.
    fn variant(&mut self, variant: u32) {
        match u8::try_from(variant) {
            Ok(variant) if variant < u8::MAX => self.bytes.push(variant),
            _ => {
                self.bytes.push(u8::MAX);
                self.bytes.extend_from_slice(&variant.to_le_bytes());
            }
        }
    }
}

/// Writes numbers in their full width.
macro_rules! write_numbers {
    ($($method:ident: $number:ty,)+) => {
        $(
            #[inline]
            fn $method(self, value: $number) -> Result<(), Error> {
                self.bytes.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
        )+
    };
}

impl ser::Serializer for &mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    write_numbers! {
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_f32: f32,
        serialize_f64: f64,
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.serialize_u8(value.into())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_u32(value.into())
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.length(value.len())?;
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_u8(0)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.bytes.push(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
    ) -> Result<(), Error> {
        self.variant(variant);
        Ok(())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(variant);
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Error> {
        self.length(length.ok_or_else(unnamed)?)?;
        Ok(self)
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Error> {
        self.variant(variant);
        Ok(self)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, Error> {
        self.serialize_seq(length)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Error> {
        self.variant(variant);
        Ok(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Writes the parts of a compound value one after the other.
macro_rules! write_parts {
    ($($compound:ident: $method:ident,)+) => {
        $(
            impl ser::$compound for &mut Writer {
                type Ok = ();
                type Error = Error;

                #[inline]
                fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                    value.serialize(&mut **self)
                }

                fn end(self) -> Result<(), Error> {
                    Ok(())
                }
            }
        )+
    };
}

write_parts! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

/// The same for parts that have names elsewhere.
macro_rules! write_named_parts {
    ($($compound:ident,)+) => {
        $(
            impl ser::$compound for &mut Writer {
                type Ok = ();
                type Error = Error;

                #[inline]
                fn serialize_field<T: Serialize + ?Sized>(
                    &mut self,
                    _: &'static str,
                    value: &T,
                ) -> Result<(), Error> {
                    value.serialize(&mut **self)
                }

                fn end(self) -> Result<(), Error> {
                    Ok(())
                }
            }
        )+
    };
}

write_named_parts! {
    SerializeStruct,
    SerializeStructVariant,
}

impl ser::SerializeMap for &mut Writer {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or_else(cut)?;
        self.bytes = rest;
        Ok(*array)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Error> {
        self.array().map(u8::from_le_bytes)
    }

    fn length(&mut self) -> Result<usize, Error> {
        self.array()
            .map(|length| u32::from_le_bytes(length) as usize)
    }

    fn slice(&mut self) -> Result<&'b [u8], Error> {
        let length = self.length()?;
        let (slice, rest) = self.bytes.split_at_checked(length).ok_or_else(cut)?;
        self.bytes = rest;
        Ok(slice)
    }

    #[inline]
    fn variant(&mut self) -> Result<u32, Error> {
        match self.byte()? {
            u8::MAX => self.array().map(u32::from_le_bytes),
            variant => Ok(variant.into()),
        }
    }
}

/// Reads numbers in their full width.
macro_rules! read_numbers {
    ($($method:ident: $number:ty => $visit:ident,)+) => {
        $(
            #[inline]
            fn $method<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Error> {
                visitor.$visit(<$number>::from_le_bytes(self.array()?))
            }
        )+
    };
}

impl<'b> de::Deserializer<'b> for &mut Reader<'b> {
    type Error = Error;

    read_numbers! {
        deserialize_i8: i8 => visit_i8,
        deserialize_i16: i16 => visit_i16,
        deserialize_i32: i32 => visit_i32,
        deserialize_i64: i64 => visit_i64,
        deserialize_i128: i128 => visit_i128,
        deserialize_u8: u8 => visit_u8,
        deserialize_u16: u16 => visit_u16,
        deserialize_u32: u32 => visit_u32,
        deserialize_u64: u64 => visit_u64,
        deserialize_u128: u128 => visit_u128,
        deserialize_f32: f32 => visit_f32,
        deserialize_f64: f64 => visit_f64,
    }

    fn deserialize_any<V: Visitor<'b>>(self, _: V) -> Result<V::Value, Error> {
        Err(unnamed())
    }

    fn deserialize_bool<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            other => Err(Error(format!("{other} is neither true nor false"))),
        }
    }

    fn deserialize_char<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Error> {
        let number = u32::from_le_bytes(self.array()?);
        let character = char::from_u32(number);
        visitor.visit_char(character.ok_or_else(|| Error(format!("{number} is no character")))?)
    }

    fn deserialize_str<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = std::str::from_utf8(self.slice()?);
        visitor.visit_borrowed_str(text.map_err(|error| Error(error.to_string()))?)
    }

    fn deserialize_string<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_bytes(self.slice()?)
    }

    fn deserialize_byte_buf<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.byte()? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self),
            other => Err(Error(format!("{other} is neither none nor some"))),
        }
    }

    fn deserialize_unit<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'b>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'b>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = self.length()?;
        visitor.visit_seq(Parts { reader: self, left })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'b>>(self, left: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Parts { reader: self, left })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'b>>(
        self,
        _: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Parts { reader: self, left })
    }

    fn deserialize_map<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = self.length()?;
        visitor.visit_map(Parts { reader: self, left })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'b>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let left = fields.len();
        visitor.visit_seq(Parts { reader: self, left })
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'b>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    fn deserialize_identifier<V: Visitor<'b>>(self, _: V) -> Result<V::Value, Error> {
        Err(unnamed())
    }

    fn deserialize_ignored_any<V: Visitor<'b>>(self, _: V) -> Result<V::Value, Error> {
        Err(unnamed())
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of a compound value that are still to be read.
struct Parts<'r, 'b> {
    reader: &'r mut Reader<'b>,
    left: usize,
}

impl<'b> de::SeqAccess<'b> for Parts<'_, 'b> {
    type Error = Error;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'b>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        match self.left.checked_sub(1) {
            None => Ok(None),
            Some(left) => {
                self.left = left;
                seed.deserialize(&mut *self.reader).map(Some)
            }
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'b> de::MapAccess<'b> for Parts<'_, 'b> {
    type Error = Error;

    fn next_key_seed<T: DeserializeSeed<'b>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    fn next_value_seed<T: DeserializeSeed<'b>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'b> EnumAccess<'b> for &mut Reader<'b> {
    type Error = Error;
    type Variant = Self;

    #[inline]
    fn variant_seed<T: DeserializeSeed<'b>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let variant = self.variant()?;
        let variant: de::value::U32Deserializer<Error> = variant.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'b> VariantAccess<'b> for &mut Reader<'b> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'b>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'b>>(self, left: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Parts { reader: self, left })
    }

    #[inline]
    fn struct_variant<V: Visitor<'b>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let left = fields.len();
        visitor.visit_seq(Parts { reader: self, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    enum Kind {
        Unit,
        One(u16),
        Two(u8, i64),
        Named { name: String, on: bool },
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct All {
        kinds: Vec<Kind>,
        map: BTreeMap<u32, Option<char>>,
        tuple: (f64, i128),
        unit: (),
        bytes: Box<[u8]>,
    }

    fn all() -> All {
        All {
            kinds: vec![
                Kind::Unit,
                Kind::One(7),
                Kind::Two(1, -5),
                Kind::Named {
                    name: "n\u{e4}me".to_owned(),
                    on: true,
                },
            ],
            map: BTreeMap::from([(4, None), (u32::MAX, Some('x'))]),
            tuple: (0.5, -1),
            unit: (),
            bytes: Box::from(*b"bytes"),
        }
    }

    #[test]
    fn values_read_back_and_cut_ones_do_not() {
        let bytes = to_bytes(&all(), Vec::new()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(from_bytes::<All>(&bytes), Ok((all(), &[][..])));
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(from_bytes::<All>(&longer), Ok((all(), &b"x"[..])));
        for end in 0..bytes.len() {
            assert!(from_bytes::<All>(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn any_bytes_are_safe() {
        let bytes = to_bytes(&all(), Vec::new()).unwrap_or_else(|error| panic!("{error}"));
        let mut errors = 0;
        for place in 0..bytes.len() {
            for change in 1..=255 {
                let mut changed = bytes.clone();
                changed[place] ^= change;
                errors += usize::from(from_bytes::<All>(&changed).is_err());
            }
        }
        assert!(errors > bytes.len());
    }
}
