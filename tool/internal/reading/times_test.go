package reading

import (
	"strings"
	"testing"
	"time"
)

func TestTimesAreReadInEveryForm(t *testing.T) {
	zone := time.FixedZone("", 8*3600)
	now := time.Date(2024, 5, 6, 15, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"10m":                       now.Add(-10 * time.Minute),
		"0s":                        now,
		"now":                       now,
		"today":                     time.Date(2024, 5, 6, 0, 0, 0, 0, zone),
		"yesterday":                 time.Date(2024, 5, 5, 0, 0, 0, 0, zone),
		"1d":                        time.Date(2024, 5, 5, 15, 0, 0, 0, zone),
		"1w2d":                      time.Date(2024, 4, 27, 15, 0, 0, 0, zone),
		"1d12h":                     time.Date(2024, 5, 5, 3, 0, 0, 0, zone),
		"2024-05-06T07:08:09.5Z":    time.Date(2024, 5, 6, 7, 8, 9, 5e8, time.UTC),
		"2024-05-06 15:04:05":       time.Date(2024, 5, 6, 15, 4, 5, 0, zone),
		"2024-05-06T15:04:05":       time.Date(2024, 5, 6, 15, 4, 5, 0, zone),
		"2024-05-06T15:04:05+08:00": time.Date(2024, 5, 6, 7, 4, 5, 0, time.UTC),
		"2024-05-06 15:04":          time.Date(2024, 5, 6, 15, 4, 0, 0, zone),
		"2024-05-06T15:04":          time.Date(2024, 5, 6, 15, 4, 0, 0, zone),
		"2024-05-05":                time.Date(2024, 5, 5, 0, 0, 0, 0, zone),
		"07:08:09":                  time.Date(2024, 5, 6, 7, 8, 9, 0, zone),
		"07:08:09.25":               time.Date(2024, 5, 6, 7, 8, 9, 25e7, zone),
		"07:08":                     time.Date(2024, 5, 6, 7, 8, 0, 0, zone),
		"15:00":                     now,
		"15:01":                     time.Date(2024, 5, 5, 15, 1, 0, 0, zone), // the last one that has passed
	} {
		if got, err := ParseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "tomorrow", "-5m", "+5m", "2024-13-01", "1d-5m", "d", "1dd", "25:00", "99999999999999999999d", "9999999d", " today"} {
		if got, err := ParseTime(text, now); err == nil || !strings.Contains(err.Error(), "valid: 2006-01-02 15:04:05") {
			t.Errorf("%q is %v, %v, want an error", text, got, err)
		}
	}
}

func TestADayIsNotAlwaysOf24Hours(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	now := time.Date(2024, 3, 31, 12, 0, 0, 0, zone) // clocks went forward in the night
	if got, _ := ParseTime("1d", now); !got.Equal(time.Date(2024, 3, 30, 12, 0, 0, 0, zone)) {
		t.Errorf("1d is %v", got)
	}
	if got, _ := ParseTime("today", now); !got.Equal(time.Date(2024, 3, 31, 0, 0, 0, 0, zone)) {
		t.Errorf("today is %v", got)
	}
}

func TestTheEndFollowsTheBeginning(t *testing.T) {
	now := time.Date(2024, 5, 6, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct{ since, until, from, to string }{
		{"", "", "0001-01-01 00:00", "0001-01-01 00:00"},
		{"08:00", "08:30", "2024-05-06 08:00", "2024-05-06 08:30"},
		{"23:00", "01:00", "2024-05-05 23:00", "2024-05-06 01:00"},
		{"08:30", "10:00", "2024-05-06 08:30", "2024-05-06 10:00"}, // has not passed yet
		{"yesterday", "today", "2024-05-05 00:00", "2024-05-06 00:00"},
		{"1d", "", "2024-05-05 09:00", "0001-01-01 00:00"},
	} {
		from, to, err := ParseTimes(c.since, c.until, now)
		const form = "2006-01-02 15:04"
		if err != nil || from.Format(form) != c.from || to.Format(form) != c.to {
			t.Errorf("%q to %q is %v to %v, %v", c.since, c.until, from, to, err)
		}
	}
	for want, c := range map[string][2]string{
		`--until is "yesterday", which is not after --since "today"`: {"today", "yesterday"},
		`--since is "x", valid: `:                                    {"x", "1d"},
		`--until is "y", valid: `:                                    {"", "y"},
		`--until is "10m"`:                                           {"10m", "10m"},
	} {
		if _, _, err := ParseTimes(c[0], c[1], now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", c, err, want)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"1w2d3h", "10:32", "yesterday", "2024-05-06T07:08:09.5Z", "9223372036854775807d"} {
		f.Add(seed)
	}
	now := time.Date(2024, 5, 6, 15, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if at, err := ParseTime(text, now); err == nil && len(text) <= len("15:04:05.999999999") && text != "" && text[0] != '2' && at.Year() > 9999 {
			t.Errorf("%q is %v", text, at)
		}
	})
}
