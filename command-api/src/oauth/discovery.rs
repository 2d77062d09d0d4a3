//! The documents by which others find where and how they ask: of OpenID Connect Discovery 1.0 and of RFC 8414. One says all
//! that the other says, so they are one.

use serde::Serialize;
use service_kit::problem::Problem;
use utoipa::ToSchema;

use super::{OF_OPENID, Oauth};

/// How services show who they are, where they have a secret.
const WITH_SECRET: [&str; 2] = ["client_secret_basic", "client_secret_post"];

/// What is to be known of this provider.
#[derive(Debug, Serialize, ToSchema)]
pub struct Metadata {
    /// Who we are: `iss` of ID tokens and of answers.
    #[schema(example = "https://id.example.org")]
    issuer: String,
    /// Where people are sent to sign in and to decide.
    authorization_endpoint: String,
    /// Where codes and the like are exchanged for tokens.
    token_endpoint: String,
    /// Where a service asks who signed in.
    userinfo_endpoint: String,
    /// Where it asks what is known of a token (RFC 7662).
    introspection_endpoint: String,
    /// Where it gives a token back (RFC 7009).
    revocation_endpoint: String,
    /// Where a device asks for a code (RFC 8628).
    device_authorization_endpoint: String,
    /// Where people are sent to sign out.
    end_session_endpoint: String,
    /// The keys that tokens are signed with.
    jwks_uri: String,
    /// What can be asked for of a person; a service may be registered with more.
    scopes_supported: [&'static str; 6],
    /// What people come back with.
    response_types_supported: [&'static str; 1],
    /// How they come back with it.
    response_modes_supported: [&'static str; 1],
    /// What can be exchanged for tokens.
    grant_types_supported: [&'static str; 4],
    /// A person has one name, whichever service asks.
    subject_types_supported: [&'static str; 1],
    /// How ID tokens are signed.
    id_token_signing_alg_values_supported: [&'static str; 1],
    /// How services show who they are.
    token_endpoint_auth_methods_supported: [&'static str; 3],
    /// The same, to ask about tokens.
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    /// The same, to give them back.
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    /// How a service proves that it began (RFC 7636).
    code_challenge_methods_supported: [&'static str; 1],
    /// What services can learn of a person, and of how they signed in.
    claims_supported: [&'static str; 22],
    /// What a service can have people asked.
    prompt_values_supported: [&'static str; 4],
    /// The languages of the pages.
    ui_locales_supported: [&'static str; 2],
    /// People come back with who we are (RFC 9207).
    authorization_response_iss_parameter_supported: bool,
    /// Single claims cannot be asked for.
    claims_parameter_supported: bool,
    /// Request objects are not taken.
    request_parameter_supported: bool,
    /// Nor are they fetched from anywhere.
    request_uri_parameter_supported: bool,
}

impl Oauth {
    /// The document.
    ///
    /// # Errors
    /// 503, if nobody set under what we are reached.
    pub fn metadata(&self) -> Result<Metadata, Problem> {
        let issuer = self.issuer()?;
        let at = |path: &str| format!("{issuer}{path}");
        let [basic, post] = WITH_SECRET;
        let with_none = [basic, post, "none"];
        Ok(Metadata {
            authorization_endpoint: at("/oauth2/authorize"),
            token_endpoint: at("/oauth2/token"),
            userinfo_endpoint: at("/oauth2/userinfo"),
            introspection_endpoint: at("/oauth2/introspect"),
            revocation_endpoint: at("/oauth2/revoke"),
            device_authorization_endpoint: at("/oauth2/device_authorization"),
            end_session_endpoint: at("/oauth2/logout"),
            jwks_uri: at("/.well-known/jwks.json"),
            scopes_supported: OF_OPENID,
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: [
                "authorization_code",
                "refresh_token",
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: ["EdDSA"],
            token_endpoint_auth_methods_supported: with_none,
            introspection_endpoint_auth_methods_supported: WITH_SECRET,
            revocation_endpoint_auth_methods_supported: with_none,
            code_challenge_methods_supported: ["S256"],
            claims_supported: [
                "iss",
                "sub",
                "aud",
                "exp",
                "iat",
                "auth_time",
                "amr",
                "nonce",
                "sid",
                "name",
                "given_name",
                "family_name",
                "locale",
                "updated_at",
                "email",
                "email_verified",
                "phone_number",
                "phone_number_verified",
                "tenant_id",
                "org_slug",
                "org_name",
                "roles",
            ],
            prompt_values_supported: ["none", "login", "consent", "select_account"],
            ui_locales_supported: ["en", "de"],
            authorization_response_iss_parameter_supported: true,
            claims_parameter_supported: false,
            request_parameter_supported: false,
            request_uri_parameter_supported: false,
            issuer,
        })
    }
}
