use super::*;
use proptest::prelude::*;

#[test]
fn known_moments() {
    for (seconds, fields, weekday) in [
        (0, (1970, 1, 1, 0, 0, 0), 5),
        (951_782_400, (2000, 2, 29, 0, 0, 0), 3),
        (951_868_799, (2000, 2, 29, 23, 59, 59), 3),
        (1_709_251_199, (2024, 2, 29, 23, 59, 59), 5),
        (4_107_542_400, (2100, 3, 1, 0, 0, 0), 2),
        (-1, (1969, 12, 31, 23, 59, 59), 4),
        (LAST, (9999, 12, 31, 23, 59, 59), 6),
        (LAST + 1, (0, 1, 1, 0, 0, 0), 7),
    ] {
        let t = Time::at(seconds);
        assert_eq!((t.year, t.month, t.day, t.hour, t.minute, t.second), fields);
        assert_eq!(t.weekday(), weekday, "{seconds}");
    }
}

#[test]
fn alarms_come_when_they_match() {
    let noon = Alarm { hour: Some(12), minute: Some(0), second: Some(0) };
    assert_eq!(noon.next(0), Some(43_200));
    assert_eq!(noon.next(43_200), Some(43_200 + 86_400));
    let each_minute = Alarm { hour: None, minute: None, second: Some(30) };
    assert_eq!(each_minute.next(30), Some(90));
    assert_eq!(Alarm { hour: Some(24), minute: None, second: None }.next(0), None);
    assert_eq!(Alarm { hour: None, minute: None, second: None }.next(7), Some(8));
}

proptest! {
    #[test]
    fn there_and_back(seconds in FIRST..=LAST) {
        prop_assert_eq!(Time::at(seconds).seconds(), seconds);
    }

    #[test]
    fn any_fields_have_a_moment(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) {
        let moment = Time { year, month, day, hour, minute, second }.seconds();
        prop_assert!((FIRST..=LAST + 86_400 * 4).contains(&moment));
    }

    #[test]
    fn the_next_alarm_matches_and_nothing_before_does(hour in prop::option::of(0u8..26), minute in prop::option::of(0u8..62),
                                                     second in prop::option::of(0u8..62), after in 0i64..10_000_000) {
        let alarm = Alarm { hour, minute, second };
        let matches = |t: i64| {
            let t = Time::at(t);
            hour.is_none_or(|h| h == t.hour) && minute.is_none_or(|m| m == t.minute) && second.is_none_or(|s| s == t.second)
        };
        let slow = (after + 1..=after + 86_400).find(|t| matches(*t));
        prop_assert_eq!(alarm.next(after), slow);
    }
}
