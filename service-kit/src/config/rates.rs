//! How often may be tried what guesses at secrets, sends letters or costs much.

use clap::Args;

use crate::rate::Rate;

/// How often what can be abused may be done. Each is how many in how long, such as `30/1m`; `0` is no limit.
#[derive(Debug, Clone, Args)]
pub struct RateConfig {
    /// How often one client address (of IPv6, one /64) may sign in, register, or begin to, in so long: a number from 1 to
    /// 1000000, a slash and a time up to 24h. 0 is no limit. All processes count together.
    #[arg(long, env = "QUIPU_RATE_SIGN_IN", default_value = "30/1m")]
    pub rate_sign_in: Rate,
    /// How often one organisation is signed in to with a password on devices that are not known, by everybody together, in
    /// so long. 0 is no limit. All processes count together.
    #[arg(long, env = "QUIPU_RATE_SIGN_IN_TENANT", default_value = "600/1m")]
    pub rate_sign_in_tenant: Rate,
    /// How often one person may sign in with a password on devices where they did before, in so long. This is counted in
    /// place of the limit of their organisation, so that no stranger can use it up. 0 is no limit. All processes count
    /// together.
    #[arg(long, env = "QUIPU_RATE_SIGN_IN_KNOWN", default_value = "30/1m")]
    pub rate_sign_in_known: Rate,
    /// How often services may send somebody to sign in from one client address (of IPv6, one /64), in so long. 0 is no
    /// limit. Each process counts by itself.
    #[arg(long, env = "QUIPU_RATE_AUTHORIZE", default_value = "120/1m")]
    pub rate_authorize: Rate,
    /// How often one client address (of IPv6, one /64) may register or ask for a letter (another password, the verification
    /// once more, an organisation), in so long. 0 is no limit. All processes count together.
    #[arg(long, env = "QUIPU_RATE_RECOVER", default_value = "10/1h")]
    pub rate_recover: Rate,
    /// The same for one mail address within one organisation, whoever asks. 0 is no limit. All processes count together.
    #[arg(long, env = "QUIPU_RATE_RECOVER_PERSON", default_value = "3/1h")]
    pub rate_recover_person: Rate,
    /// How often one member may have people of the organisation asked for another password, by a letter, in so long. This is
    /// counted in place of the limit of their client address. 0 is no limit. All processes count together.
    #[arg(long, env = "QUIPU_RATE_LETTERS_MEMBER", default_value = "60/1h")]
    pub rate_letters_member: Rate,
    /// How often one client address (of IPv6, one /64) may show links of letters and codes of one use, in so long. 0 is no
    /// limit. All processes count together.
    #[arg(long, env = "QUIPU_RATE_LINKS", default_value = "30/1m")]
    pub rate_links: Rate,
    /// How often wrong secrets of one service may be shown in so long, before further ones are not looked at. 0 is no
    /// limit. All processes count together.
    #[arg(long, env = "QUIPU_RATE_TOKEN_FAILURES", default_value = "20/1m")]
    pub rate_token_failures: Rate,
    /// How often wrong codes of devices may be typed in one session, in so long. 0 is no limit. All processes count together.
    #[arg(long, env = "QUIPU_RATE_USER_CODES", default_value = "5/10m")]
    pub rate_user_codes: Rate,
    /// How many invitations one organisation may send in so long. 0 is no limit. All processes count together.
    #[arg(long, env = "QUIPU_RATE_INVITATIONS", default_value = "200/24h")]
    pub rate_invitations: Rate,
    /// How many invitations one member may send in so long. 0 is no limit. All processes count together.
    #[arg(long, env = "QUIPU_RATE_INVITATIONS_MEMBER", default_value = "30/1h")]
    pub rate_invitations_member: Rate,
    /// How often one session may exchange its refresh token in so long. 0 is no limit. Each process counts by itself.
    #[arg(long, env = "QUIPU_RATE_REFRESH", default_value = "30/1m")]
    pub rate_refresh: Rate,
    /// How many device codes one service is given in so long. 0 is no limit. Each process counts by itself.
    #[arg(long, env = "QUIPU_RATE_DEVICE_CODES", default_value = "50/1s")]
    pub rate_device_codes: Rate,
    /// How many device codes one client address (of IPv6, one /64) may ask for in so long. 0 is no limit. Each process
    /// counts by itself.
    #[arg(long, env = "QUIPU_RATE_DEVICE_CODES_ADDRESS", default_value = "60/1m")]
    pub rate_device_codes_address: Rate,
    /// How many device codes all services together are given in so long. 0 is no limit. Each process counts by itself.
    #[arg(long, env = "QUIPU_RATE_DEVICE_CODES_ALL", default_value = "2000/1s")]
    pub rate_device_codes_all: Rate,
}

impl RateConfig {
    /// No limit of any kind, for tests and measurements of something else.
    pub const OFF: Self = Self {
        rate_sign_in: Rate::OFF,
        rate_sign_in_tenant: Rate::OFF,
        rate_sign_in_known: Rate::OFF,
        rate_authorize: Rate::OFF,
        rate_recover: Rate::OFF,
        rate_recover_person: Rate::OFF,
        rate_letters_member: Rate::OFF,
        rate_links: Rate::OFF,
        rate_token_failures: Rate::OFF,
        rate_user_codes: Rate::OFF,
        rate_invitations: Rate::OFF,
        rate_invitations_member: Rate::OFF,
        rate_refresh: Rate::OFF,
        rate_device_codes: Rate::OFF,
        rate_device_codes_address: Rate::OFF,
        rate_device_codes_all: Rate::OFF,
    };
}

impl Default for RateConfig {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        Self {
            rate_sign_in: Rate::new(30, MINUTE),
            rate_sign_in_tenant: Rate::new(600, MINUTE),
            rate_sign_in_known: Rate::new(30, MINUTE),
            rate_authorize: Rate::new(120, MINUTE),
            rate_recover: Rate::new(10, HOUR),
            rate_recover_person: Rate::new(3, HOUR),
            rate_letters_member: Rate::new(60, HOUR),
            rate_links: Rate::new(30, MINUTE),
            rate_token_failures: Rate::new(20, MINUTE),
            rate_user_codes: Rate::new(5, 10 * MINUTE),
            rate_invitations: Rate::new(200, 24 * HOUR),
            rate_invitations_member: Rate::new(30, HOUR),
            rate_refresh: Rate::new(30, MINUTE),
            rate_device_codes: Rate::new(50, 1),
            rate_device_codes_address: Rate::new(60, MINUTE),
            rate_device_codes_all: Rate::new(2_000, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct All {
        #[command(flatten)]
        rates: RateConfig,
    }

    fn parse(args: &[&str]) -> Result<RateConfig, clap::Error> {
        let args = std::iter::once("it").chain(args.iter().copied()).map(OsString::from);
        crate::config::try_load::<All>(args, Path::new("/nowhere")).map(|it| it.rates)
    }

    #[test]
    fn defaults_of_clap_and_of_default_are_the_same() {
        assert_eq!(format!("{:?}", parse(&[]).unwrap()), format!("{:?}", RateConfig::default()));
    }

    #[test]
    fn a_rate_is_set_by_a_flag_and_what_is_none_is_told() {
        assert_eq!(parse(&["--rate-sign-in", "3/1h"]).unwrap().rate_sign_in, Rate::new(3, 3_600));
        assert_eq!(parse(&["--rate-sign-in", "0"]).unwrap().rate_sign_in, Rate::OFF);
        let bad = parse(&["--rate-sign-in", "often"]).unwrap_err().to_string();
        assert!(bad.contains("rate-sign-in") && bad.contains("30/1m"), "{bad}");
    }
}
