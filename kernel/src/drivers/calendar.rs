//! Dates to seconds, by arithmetic alone.

/// A date and time of day of the Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DateTime {
    /// For example 2026.
    pub year: u32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
}

impl DateTime {
    /// Seconds since 1970-01-01 00:00. `None` for a date before, or one that can't be.
    #[must_use]
    pub fn unix_seconds(self) -> Option<u64> {
        let DateTime { year, month, day, hour, minute, second } = self;
        let valid = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !valid {
            return None;
        }
        // Years that begin in March put the leap day last, so days before a month are a linear formula.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let leap_days = year / 4 - year / 100 + year / 400;
        let before_month = (153 * month + 2) / 5;
        let days_since_year_0 = u64::from(year) * 365 + u64::from(leap_days + before_month + day - 1);
        const DAYS_TO_1970: u64 = 719_468;
        let days = days_since_year_0.checked_sub(DAYS_TO_1970)?;
        Some(days * 86_400 + u64::from(hour * 3600 + minute * 60 + second))
    }
}
