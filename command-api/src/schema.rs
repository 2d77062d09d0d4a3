//! Lends the schemas of domain types to the API's description. The domain derives JSON Schema and does not know HTTP.

use std::borrow::Cow;

use domain::ledger::{
    ClosePeriodRequest, FreezeRequest, OpenAccountRequest, PostHoldRequest, ReverseRequest, TransferRequest,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::routes::batches::BatchRequest;

fn lent<T: JsonSchema>() -> RefOr<Schema> {
    let settings = SchemaSettings::draft2020_12().with(|it| {
        it.inline_subschemas = true;
        it.meta_schema = None;
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    serde_json::from_value(schema.into()).unwrap_or_else(|_| RefOr::T(Schema::Object(Object::new())))
}

macro_rules! lend {
    ($($name:ident for $request:ty;)*) => {$(
        #[doc = concat!("The description of [`", stringify!($request), "`].")]
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                lent::<$request>()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                <$request>::schema_name()
            }
        }
    )*};
}

lend! {
    OpenAccountBody for OpenAccountRequest;
    FreezeBody for FreezeRequest;
    TransferBody for TransferRequest;
    PostHoldBody for PostHoldRequest;
    ReverseBody for ReverseRequest;
    ClosePeriodBody for ClosePeriodRequest;
    BatchBody for BatchRequest;
}
