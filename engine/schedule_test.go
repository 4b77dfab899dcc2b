package engine

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

func daily(hours, minutes int, days ...time.Weekday) calendar.Rule {
	return calendar.Rule{Frequency: calendar.Daily, Hours: hours, Minutes: minutes, Days: days}
}

// at is an instant, such as 2025-03-30T09:00Z.
func at(s string) time.Time {
	t, err := time.Parse("2006-01-02T15:04Z07:00", s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

// zone gives a user a time zone behind the engine's back.
func (w *world) zone(user, name string) {
	w.t.Helper()
	w.exec(`UPDATE recipients SET properties = properties || jsonb_build_object('timezone', $2::text) WHERE external_id = $1`, user, name)
}

// moved gives a user a time zone, and tells the engine.
func (w *world) moved(user, name string) {
	w.t.Helper()
	w.zone(user, name)
	id := one[belfry.RecipientID](w, `SELECT id FROM recipients WHERE external_id = $1`, user)
	if err := postgres.InTx(w.t.Context(), w.pool, func(tx *postgres.Tx) error {
		return w.RecipientsChanged(w.t.Context(), tx, w.env, []belfry.RecipientID{id})
	}); err != nil {
		w.t.Fatal(err)
	}
}

// schedule stores a schedule that has to be right; for u0 and the workflow w, if nothing else is said.
func (w *world) schedule(in ScheduleInput) *Schedule {
	w.t.Helper()
	if in.Workflow == "" {
		in.Workflow = "w"
	}
	if in.Recipient.ref() == (belfry.RecipientRef{}) {
		in.Recipient.Ref = belfry.User("u0")
	}
	results, err := w.CreateSchedules(w.t.Context(), w.env, []ScheduleInput{in})
	if err != nil || results[0].Err != nil {
		w.t.Fatal(err, results)
	}
	return results[0].Schedule
}

// due triggers what is due until nothing is, and returns when the triggers' schedules wanted them.
func (w *world) due() int {
	w.t.Helper()
	before := one[int](w, `SELECT count(*) FROM triggers`)
	careful := false
	for {
		n, err := w.fireDue(w.t.Context(), careful)
		if careful = errors.Is(err, errRefused); careful {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if n == 0 {
			return one[int](w, `SELECT count(*) FROM triggers`) - before
		}
	}
}

// occurrences lets time pass from one occurrence to the next, and lists them by the clock of a zone.
func (w *world) occurrences(s *Schedule, n int, zone string) []string {
	w.t.Helper()
	loc, _ := calendar.Zone(zone)
	out := []string{}
	for range n {
		s := w.read(s.ID)
		if s.NextAt == nil {
			break
		}
		w.clock.set(s.NextAt.Add(-time.Microsecond))
		if early := w.due(); early != 0 {
			w.t.Errorf("triggered before %s", s.NextAt)
		}
		w.clock.set(*s.NextAt)
		if got := w.due(); got != 1 {
			w.t.Errorf("%d triggers at %s, want 1", got, s.NextAt)
		}
		out = append(out, s.NextAt.In(loc).Format("Mon 02 Jan 15:04 -07"))
	}
	return out
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func (w *world) read(id uuid.UUID) *Schedule {
	w.t.Helper()
	s, err := w.ScheduleByID(w.t.Context(), w.env, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// update changes one schedule, which has to succeed.
func (w *world) update(id uuid.UUID, p SchedulePatch) *Schedule {
	w.t.Helper()
	results, err := w.UpdateSchedules(w.t.Context(), w.env, []uuid.UUID{id}, p)
	if err != nil || results[0].Err != nil {
		w.t.Fatal(err, results)
	}
	s := w.read(id)
	if diff := cmp.Diff(s, results[0].Schedule, cmp.AllowUnexported(Schedule{})); diff != "" {
		w.t.Errorf("what was returned is not what is stored (-stored +returned):\n%s", diff)
	}
	return s
}

func newScheduleWorld(t *testing.T, configure ...func(*Config)) *world {
	t.Helper()
	w := newWorld(t, configure...)
	w.users(3)
	w.workflow("w", step("a", "", "Hi {{ recipient.name }}: {{ data.x }}"))
	return w
}

// By the recipient's clock, whatever that does.
func TestScheduleOccurrences(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from  string
		zone  string
		rules []calendar.Rule
		want  []string
	}{
		"a gap in the clock": {"2025-03-29T00:00Z", "Europe/Berlin", []calendar.Rule{daily(2, 30)},
			[]string{"Sat 29 Mar 02:30 +01", "Sun 30 Mar 03:00 +02", "Mon 31 Mar 02:30 +02"}},
		"a time that comes twice": {"2025-10-25T00:00Z", "Europe/Berlin", []calendar.Rule{daily(2, 30)},
			[]string{"Sat 25 Oct 02:30 +02", "Sun 26 Oct 02:30 +02", "Mon 27 Oct 02:30 +01"}},
		"several rules, one of them for weekdays": {"2025-03-07T12:00Z", "America/New_York", []calendar.Rule{
			daily(9, 0, time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday), daily(12, 0, time.Saturday, time.Sunday)},
			[]string{"Fri 07 Mar 09:00 -05", "Sat 08 Mar 12:00 -05", "Sun 09 Mar 12:00 -04", "Mon 10 Mar 09:00 -04"}},
		"rules that meet": {"2025-03-07T12:00Z", "", []calendar.Rule{daily(13, 0), {Frequency: calendar.Hourly, Interval: 12}},
			[]string{"Fri 07 Mar 13:00 +00", "Sat 08 Mar 00:00 +00", "Sat 08 Mar 12:00 +00"}},
		"the end of the month": {"2025-01-30T12:00Z", "Asia/Tokyo", []calendar.Rule{{Frequency: calendar.Monthly, DayOfMonth: 31, Hours: 8}},
			[]string{"Fri 31 Jan 08:00 +09", "Fri 28 Feb 08:00 +09", "Mon 31 Mar 08:00 +09", "Wed 30 Apr 08:00 +09"}},
		"a zone that nobody knows": {"2025-03-07T12:00Z", "Mars/Olympus", []calendar.Rule{daily(9, 0)},
			[]string{"Sat 08 Mar 09:00 +00", "Sun 09 Mar 09:00 +00"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newScheduleWorld(t)
			w.clock.set(at(c.from))
			w.zone("u0", c.zone)
			s := w.schedule(ScheduleInput{Rules: c.rules})
			expect(t, "occurrences", w.occurrences(s, len(c.want), c.zone), c.want)
		})
	}
}

func TestScheduleRunsTheWorkflow(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	w.workflow("w", step("a", "", "{{ recipient.name }} {{ actor.name }} {{ tenant.id }} {{ data.x }}{{ data.y }} {{ recipient.schedule.id }} "+
		"{{ recipient.schedule.last_occurrence_at }} {{ recipient.schedule.next_occurrence_at }}"))
	w.clock.set(at("2025-03-07T12:00Z"))
	s := w.schedule(ScheduleInput{
		Workflow: "w", Recipient: Party{Ref: belfry.User("u1"), Data: map[string]any{"y": "own"}}, Rules: []calendar.Rule{daily(13, 0)},
		Data: map[string]any{"x": 1, "y": "all"}, Actor: &Party{Ref: belfry.User("u2")}, Tenant: "acme",
	})
	w.clock.set(at("2025-03-07T13:00Z"))
	expect(t, "triggers", w.due(), 1)
	w.drain()
	trigger := one[uuid.UUID](w, `SELECT id FROM triggers WHERE source = 'schedule' AND schedule_id = $1`, s.ID)
	expect(t, "bodies", w.bodies(trigger), map[string][]string{"u1": {"User 1 User 2 acme 1own " + s.ID.String() + " 2025-03-07T13:00:00Z 2025-03-08T13:00:00Z"}})
	expect(t, "triggers counted", w.Stats().Triggers, int64(1))
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.drain()
	if body := one[string](w, `SELECT body FROM sent ORDER BY id DESC LIMIT 1`); strings.Contains(body, "2025") {
		t.Errorf("a trigger without a schedule sees one: %s", body)
	}
}

func TestScheduleOnce(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	w.zone("u0", "Asia/Tokyo")
	s := w.schedule(ScheduleInput{StartsAt: epoch.Add(time.Hour)})
	expect(t, "next", *s.NextAt, epoch.Add(time.Hour)) // an instant, whatever the zone
	w.clock.add(time.Hour - time.Microsecond)
	expect(t, "triggers before", w.due(), 0)
	w.clock.add(time.Microsecond)
	expect(t, "triggers", w.due(), 1)
	w.clock.add(1000 * time.Hour)
	expect(t, "triggers behind it", w.due(), 0)
	s = w.read(s.ID)
	if s.NextAt != nil || !s.LastAt.Equal(epoch.Add(time.Hour)) {
		t.Errorf("schedule = %+v", s)
	}
}

func TestScheduleBeginsAndEnds(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	s := w.schedule(ScheduleInput{Rules: []calendar.Rule{daily(9, 0)}, StartsAt: at("2025-03-10T09:00Z"), EndsAt: at("2025-03-12T09:00Z")})
	expect(t, "occurrences", w.occurrences(s, 5, ""), []string{"Mon 10 Mar 09:00 +00", "Tue 11 Mar 09:00 +00", "Wed 12 Mar 09:00 +00"})
	none := time.Time{}
	s = w.update(s.ID, SchedulePatch{EndsAt: &none})
	expect(t, "goes on", *s.NextAt, at("2025-03-13T09:00Z"))
	now := w.clock.now()
	if s = w.update(s.ID, SchedulePatch{EndsAt: &now}); s.NextAt != nil {
		t.Errorf("ended, but next at %s", s.NextAt)
	}
}

// What happens during a pause doesn't happen behind it.
func TestSchedulePause(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	w.clock.set(at("2025-03-07T12:00Z"))
	s := w.schedule(ScheduleInput{Rules: []calendar.Rule{daily(13, 0)}})
	once := w.schedule(ScheduleInput{StartsAt: at("2025-03-08T00:00Z")})
	yes, no := true, false
	for _, id := range []uuid.UUID{s.ID, once.ID} {
		if s := w.update(id, SchedulePatch{Paused: &yes}); s.NextAt != nil || !s.Paused {
			t.Errorf("paused: %+v", s)
		}
	}
	w.clock.set(at("2025-03-09T20:00Z"))
	expect(t, "triggers", w.due(), 0)
	expect(t, "next", *w.update(s.ID, SchedulePatch{Paused: &no}).NextAt, at("2025-03-10T13:00Z"))
	if s := w.update(once.ID, SchedulePatch{Paused: &no}); s.NextAt != nil {
		t.Errorf("what was due once is over, but next at %s", s.NextAt)
	}
	expect(t, "triggers", w.due(), 0)
}

func TestScheduleConversion(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	w.clock.set(at("2025-03-07T12:00Z"))
	s := w.schedule(ScheduleInput{Rules: []calendar.Rule{daily(13, 0)}, Data: map[string]any{"x": 1}})
	ids := []uuid.UUID{s.ID}

	results, err := w.UpdateSchedules(t.Context(), w.env, ids, SchedulePatch{Rules: &[]calendar.Rule{}})
	if err != nil {
		t.Fatal(err)
	}
	expectError(t, results[0].Err, belfry.Invalid, "input.ids[0].startsAt", 0) // it began in the past: when, then?
	expect(t, "unchanged", *w.read(s.ID).NextAt, at("2025-03-07T13:00Z"))

	later := at("2025-03-09T00:00Z")
	once := w.update(s.ID, SchedulePatch{Rules: &[]calendar.Rule{}, StartsAt: &later, Data: map[string]any{"x": "2"}})
	expect(t, "once", *once.NextAt, later)
	expect(t, "occurrences", w.occurrences(once, 3, ""), []string{"Sun 09 Mar 00:00 +00"})
	again := w.update(s.ID, SchedulePatch{Rules: &[]calendar.Rule{{Frequency: calendar.Hourly, Minutes: 30}}})
	expect(t, "occurrences", w.occurrences(again, 2, ""), []string{"Sun 09 Mar 00:30 +00", "Sun 09 Mar 01:30 +00"})
	w.drain()
	expect(t, "data", one[int](w, `SELECT count(*) FROM sent WHERE body = 'Hi User 0: 2'`), 3)
}

// A change that has nothing to do with time doesn't lose what is due.
func TestScheduleChangedWhileItIsDue(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	s := w.schedule(ScheduleInput{StartsAt: epoch.Add(time.Hour)})
	w.clock.add(2 * time.Hour)
	no, ends := false, epoch.Add(24*time.Hour)
	w.update(s.ID, SchedulePatch{Data: map[string]any{"x": "2"}, Paused: &no, EndsAt: &ends})
	expect(t, "triggers", w.due(), 1)
}

// A recipient who moves takes the schedule along, east or west.
func TestScheduleFollowsTheZone(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	w.clock.set(at("2025-06-02T12:00Z"))
	w.zone("u0", "Europe/Berlin")
	s := w.schedule(ScheduleInput{Rules: []calendar.Rule{daily(9, 0)}})
	expect(t, "occurrences", w.occurrences(s, 1, "Europe/Berlin"), []string{"Tue 03 Jun 09:00 +02"})
	w.moved("u0", "America/New_York")
	expect(t, "in the evening before, in New York", *w.read(s.ID).NextAt, at("2025-06-03T13:00Z"))
	w.moved("u0", "Asia/Tokyo")
	expect(t, "occurrences", w.occurrences(s, 2, "Asia/Tokyo"), []string{"Wed 04 Jun 09:00 +09", "Thu 05 Jun 09:00 +09"})
	w.zone("u0", "Asia/Kolkata") // without a word: the next one comes at the old time
	expect(t, "occurrences", w.occurrences(s, 2, "Asia/Kolkata"), []string{"Fri 06 Jun 05:30 +05", "Fri 06 Jun 09:00 +05"})

	once := w.schedule(ScheduleInput{StartsAt: at("2025-07-01T00:00Z")})
	w.moved("u0", "Europe/Berlin")
	expect(t, "an instant doesn't move", *w.read(once.ID).NextAt, at("2025-07-01T00:00Z"))
}

// Moving doesn't lose what is due already.
func TestScheduleFollowsTheZoneOnlyAhead(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	w.clock.set(at("2025-06-02T12:00Z"))
	s := w.schedule(ScheduleInput{Rules: []calendar.Rule{daily(9, 0)}})
	w.clock.set(at("2025-06-03T09:00Z"))
	w.moved("u0", "America/New_York")
	expect(t, "triggers", w.due(), 1)
	expect(t, "next", *w.read(s.ID).NextAt, at("2025-06-03T13:00Z"))
}

// A node that was down makes up for one occurrence, not for all.
func TestScheduleOverdue(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	w.clock.set(at("2025-03-07T12:00Z"))
	s := w.schedule(ScheduleInput{Rules: []calendar.Rule{daily(13, 0)}})
	w.clock.set(at("2025-03-17T12:00Z"))
	expect(t, "triggers", w.due(), 1)
	s = w.read(s.ID)
	expect(t, "last", *s.LastAt, at("2025-03-07T13:00Z"))
	expect(t, "next", *s.NextAt, at("2025-03-17T13:00Z"))
}

func TestScheduleSkips(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	w.clock.set(at("2025-03-07T12:00Z"))
	s := w.schedule(ScheduleInput{Rules: []calendar.Rule{daily(13, 0)}, Actor: &Party{Ref: belfry.User("u1")}})
	tenants := w.schedule(ScheduleInput{Rules: []calendar.Rule{daily(0, 0)}, Tenant: "acme"})
	pass := func(day string) *Schedule {
		w.clock.set(at(day + "T13:00Z"))
		w.due()
		return w.read(s.ID)
	}
	triggers := func() int { return one[int](w, `SELECT count(*) FROM triggers WHERE tenant_id IS NULL`) }
	if _, err := w.SetActive(t.Context(), w.env, "w", false); err != nil {
		t.Fatal(err)
	}
	skipped := pass("2025-03-07")
	if triggers() != 0 || skipped.LastAt != nil || !skipped.NextAt.Equal(at("2025-03-08T13:00Z")) {
		t.Errorf("inactive: %d triggers, %+v", triggers(), skipped)
	}
	if _, err := w.SetActive(t.Context(), w.env, "w", true); err != nil {
		t.Fatal(err)
	}
	w.exec(`DELETE FROM recipients WHERE external_id = 'u1'`)
	pass("2025-03-08")
	expect(t, "triggers without the actor", triggers(), 1)

	strict := &workflow.Definition{Name: "w", DataSchema: []byte(`{"required": ["x"]}`), Steps: []workflow.Step{step("a", "", "x")}}
	if _, problems, err := w.Upsert(t.Context(), w.env, "w", strict); err != nil || problems != nil {
		t.Fatal(problems, err)
	}
	skipped = pass("2025-03-09")
	if triggers() != 1 || !skipped.LastAt.Equal(at("2025-03-08T13:00Z")) || !skipped.NextAt.Equal(at("2025-03-10T13:00Z")) {
		t.Errorf("data that the workflow doesn't want: %d triggers, %+v", triggers(), skipped)
	}
	w.update(s.ID, SchedulePatch{Data: map[string]any{"x": "1"}})
	w.exec(`DELETE FROM recipients WHERE external_id IN ('u0', 'acme')`)
	if gone := pass("2025-03-10"); triggers() != 1 || gone.NextAt != nil {
		t.Errorf("deleted recipient: %d triggers, %+v", triggers(), gone)
	}
	if over := w.read(tenants.ID); over.NextAt != nil {
		t.Errorf("deleted tenant: %+v", over)
	}
}
