//! Seconds since 1970 (UTC) to the fields a clock shows, and back. Every input has a result: the guest writes these fields.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Year 0 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

const DAY: i64 = 86_400;
/// Days in 400 Gregorian years.
const ERA: i64 = 146_097;
/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH: i64 = 719_468;
/// 1 January of year 0, and the last second of year 9999.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

impl Time {
    /// After year 9999 comes year 0, as on the chip.
    pub fn at(seconds: i64) -> Time {
        let seconds = FIRST + seconds.saturating_sub(FIRST).rem_euclid(LAST - FIRST + 1);
        let (days, of_day) = (seconds.div_euclid(DAY) + EPOCH, seconds.rem_euclid(DAY));
        let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
        // Years begin in March, so that a leap day is the last day of its year.
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Time {
            year: year as u16,
            month: month as u8,
            day: (of_year - (153 * from_march + 2) / 5 + 1) as u8,
            hour: (of_day / 3600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
        }
    }

    /// Fields out of range count as the nearest one in range; 31 February is some day of March.
    pub fn seconds(&self) -> i64 {
        let month = i64::from(self.month.clamp(1, 12));
        let day = i64::from(self.day.clamp(1, 31));
        let year = i64::from(self.year.min(9999)) - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = if month > 2 { month - 3 } else { month + 9 };
        let of_year = (153 * from_march + 2) / 5 + day - 1;
        let of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + of_year;
        let of_day =
            i64::from(self.hour.min(23)) * 3600 + i64::from(self.minute.min(59)) * 60 + i64::from(self.second.min(59));
        (era * ERA + of_era - EPOCH) * DAY + of_day
    }

    /// 1 is Sunday.
    pub fn weekday(&self) -> u8 {
        let days = self.seconds().div_euclid(DAY);
        ((days + 4).rem_euclid(7) + 1) as u8
    }
}

/// When an alarm goes off: second, minute and hour, `None` for any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    pub hour: Option<u8>,
    pub minute: Option<u8>,
    pub second: Option<u8>,
}

impl Alarm {
    /// The first matching second after `after` (both since 1970), if it ever comes.
    pub fn next(&self, after: i64) -> Option<i64> {
        let differs = |field: Option<u8>, value: i64| field.is_some_and(|f| i64::from(f) != value);
        let possible = |field: Option<u8>, below: u8| field.is_none_or(|f| f < below);
        if !(possible(self.hour, 24) && possible(self.minute, 60) && possible(self.second, 60)) {
            return None;
        }
        // Each step skips the rest of an hour, minute or second that cannot match, so there are few.
        let mut t = after.clamp(FIRST, LAST) + 1;
        loop {
            if differs(self.hour, t.div_euclid(3600).rem_euclid(24)) {
                t = (t.div_euclid(3600) + 1) * 3600;
            } else if differs(self.minute, t.div_euclid(60).rem_euclid(60)) {
                t = (t.div_euclid(60) + 1) * 60;
            } else if differs(self.second, t.rem_euclid(60)) {
                t += 1;
            } else {
                return Some(t);
            }
        }
    }
}

#[cfg(test)]
mod tests;
