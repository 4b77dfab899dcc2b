package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/egress"
)

// expect checks one thing.
func (s *scenario) expect(w *words) error {
	switch what := w.text(); what {
	case "none":
		return s.expectNone()
	case "message":
		return s.expectMessage(w)
	case "run":
		return s.expectRun(w)
	case "log":
		return s.expectLog(w)
	case "waiting":
		return s.expectWaiting(w)
	case "properties":
		return s.expectProperties(w)
	case "request":
		return s.expectRequest(w)
	case "progress":
		return s.expectProgress(w)
	case "requests":
		if want := w.text(); want != strconv.Itoa(s.server.count()) {
			return fmt.Errorf("%d requests, want %s", s.server.count(), want)
		}
		return nil
	default:
		return fmt.Errorf("nobody can expect %q", what)
	}
}

// messages are all that were sent in the case, oldest first.
func (s *scenario) messages() []belfry.Message {
	rows, err := s.pool.Query(s.t.Context(), `SELECT id, message FROM mailbox WHERE environment_id = $1 ORDER BY id`, s.env)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m belfry.Message, err error) {
		var raw []byte
		var id int64
		if err = row.Scan(&id, &raw); err == nil {
			err = json.Unmarshal(raw, &m)
		}
		m.Seq = id
		return m, err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *scenario) expectNone() error {
	for _, m := range s.messages() {
		if !s.expected[m.Seq] {
			return fmt.Errorf("there is a message: %s to=%s %q", m.StepRef, m.UserID, m.Content.Body.Content)
		}
	}
	return nil
}

// expectMessage takes the oldest message of a step to somebody that hasn't been expected, and says what the script says. (What
// several runs do at the same moment has no order.)
func (s *scenario) expectMessage(w *words) error {
	step := w.text()
	to, _ := w.value("to")
	run, ofRun := w.value("run")
	part := w.flag("~")
	text, worded := w.next()
	var others []string
	for _, m := range s.messages() {
		if s.expected[m.Seq] || m.StepRef != step || s.name(m.Recipient) != to.text || ofRun && uuid.UUID(m.Trigger) != s.trigger(run.text) {
			continue
		}
		body := m.Content.Body.Content
		if !worded || body == text.text || part && strings.Contains(body, text.text) {
			s.expected[m.Seq] = true
			return s.expectFields(&m, w)
		}
		others = append(others, body)
	}
	return fmt.Errorf("no message of %s to %s says %q; others say %q", step, to.text, text.text, others)
}

// expectFields checks the fields of a message that a script mentions.
func (s *scenario) expectFields(m *belfry.Message, w *words) error {
	var actors []string
	for _, id := range m.Actors {
		actors = append(actors, s.name(id))
	}
	sendAt := ""
	if !m.SendAt.IsZero() {
		sendAt = m.SendAt.Format(time.RFC3339)
	}
	for key, got := range map[string]any{
		"channel": m.Channel, "type": string(m.ChannelType), "address": m.Content.To, "subject": m.Content.Subject, "url": m.Content.ActionURL,
		"html": m.Content.Body.Rendered, "actor": s.name(m.Actor), "actors": strings.Join(actors, ","), "tenant": s.name(m.Tenant),
		"activities": strconv.Itoa(m.TotalActivities), "sendat": sendAt, "sandbox": strconv.FormatBool(m.Sandbox),
		"categories": strings.Join(m.Categories, ","), "data": m.Content.Data, "request": m.Content.Request, "buttons": m.Content.Buttons, "workflow": m.Workflow,
	} {
		want, mentioned := w.value(key)
		if !mentioned {
			continue
		}
		same := got == want.text
		if want.json != nil {
			same = sameJSON(got, want.json)
		}
		if key == "sendat" && want.text != "" {
			at, err := time.Parse(time.RFC3339, want.text)
			same = err == nil && at.Equal(m.SendAt)
		}
		if !same {
			b, _ := encode(got)
			return fmt.Errorf("the message has %s %s, want %s", key, b, want.text)
		}
	}
	return nil
}

// name is how scripts call a recipient.
func (s *scenario) name(id belfry.RecipientID) string {
	if id == 0 {
		return ""
	}
	var ref belfry.RecipientRef
	err := s.pool.QueryRow(s.t.Context(), `SELECT collection, external_id FROM recipients WHERE id = $1`, id).Scan(&ref.Collection, &ref.ExternalID)
	if errors.Is(err, pgx.ErrNoRows) {
		return "gone"
	}
	s.check(err)
	if ref.Collection == belfry.Users || ref.Collection == belfry.Tenants {
		return ref.ExternalID
	}
	return ref.Collection + "/" + ref.ExternalID
}

// trigger is the one with a name.
func (s *scenario) trigger(label string) uuid.UUID {
	if id, ok := s.labels[label]; ok {
		return id
	}
	if key, ok := strings.CutPrefix(label, "@"); ok {
		for _, r := range slices.Backward(s.allRuns()) {
			if r.workflow == key {
				return r.trigger
			}
		}
	}
	return uuid.Nil
}

func (s *scenario) label(id uuid.UUID) string {
	for name, known := range s.labels {
		if known == id {
			return name
		}
	}
	return "@"
}

// caseRun is a run of the case.
type caseRun struct {
	storedRun
	trigger              uuid.UUID
	user                 string
	workflow, waitingFor string
	due                  *time.Time
}

// allRuns are the runs of the case, in the order of their triggers.
func (s *scenario) allRuns() []caseRun {
	rows, err := s.pool.Query(s.t.Context(), `SELECT r.trigger_id, coalesce(p.external_id, 'gone'), coalesce(p.collection, '$users'), w.key, r.status, coalesce(r.waiting_for, ''), r.log,
		CASE WHEN r.waiting_for = 'batch' THEN (SELECT close_at FROM batches b WHERE b.recipient_id = r.recipient_id AND b.carrier_id = r.trigger_id AND close_at IS NOT NULL)
		ELSE r.due_at END
		FROM runs r JOIN triggers t ON t.id = r.trigger_id JOIN workflows w ON w.id = t.workflow_id LEFT JOIN recipients p ON p.id = r.recipient_id
		WHERE r.environment_id = $1 ORDER BY r.trigger_id, r.recipient_id`, s.env)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r caseRun, err error) {
		var log []byte
		var collection string
		if err = row.Scan(&r.trigger, &r.user, &collection, &r.workflow, &r.Status, &r.waitingFor, &log, &r.due); err == nil {
			err = json.Unmarshal(log, &r.Log)
		}
		if collection != belfry.Users && collection != belfry.Tenants {
			r.user = collection + "/" + r.user
		}
		return r, err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// find reads which run is meant: a trigger and a recipient.
func (s *scenario) find(w *words) (caseRun, error) {
	label, user := w.text(), w.text()
	id := s.trigger(label)
	for _, r := range s.allRuns() {
		if r.trigger == id && r.user == user {
			return r, nil
		}
	}
	return caseRun{}, fmt.Errorf("%s has no run of %s", user, label)
}

func (s *scenario) expectRun(w *words) error {
	r, err := s.find(w)
	want := w.text()
	switch {
	case want == "none" && err != nil:
		return nil
	case err != nil:
		return err
	case string(r.Status) != want:
		return fmt.Errorf("the run is %s, want %s", r.Status, want)
	}
	s.failures[r.trigger.String()+r.user] = true
	return nil
}

// expectLog wants an entry: step: outcome (reason) until when ~ "part of the detail".
func (s *scenario) expectLog(w *words) error {
	r, err := s.find(w)
	if err != nil {
		return err
	}
	detail := ""
	if more, ok := w.after("~"); ok {
		detail = more.text()
	}
	want := w.String()
	*w = nil
	for i := range r.Log {
		if e := &r.Log[i]; e.line() == want && strings.Contains(e.Detail, detail) {
			return nil
		}
	}
	return fmt.Errorf("the log has no entry %q with %q", want, detail)
}

func (s *scenario) expectWaiting(w *words) error {
	r, err := s.find(w)
	if err != nil {
		return err
	}
	if r.Status != Waiting {
		return fmt.Errorf("the run is %s, not waiting", r.Status)
	}
	if v, ok := w.value("for"); ok && v.text != r.waitingFor {
		return fmt.Errorf("the run waits for %s, not %s", r.waitingFor, v.text)
	}
	if !w.flag("until") {
		return nil
	}
	until, err := time.Parse(time.RFC3339, w.text())
	if err != nil {
		return err
	}
	if r.due == nil || !r.due.Equal(until) {
		return fmt.Errorf("the run waits until %v, want %s", r.due, until.UTC())
	}
	return nil
}

// expectProperties checks those that a script mentions.
func (s *scenario) expectProperties(w *words) error {
	ref := reference(w.text())
	given, _ := w.next()
	want, err := given.object()
	if err != nil {
		return err
	}
	var raw []byte
	if err := s.pool.QueryRow(s.t.Context(), `SELECT properties FROM recipients WHERE environment_id = $1 AND collection = $2 AND external_id = $3`,
		s.env, ref.Collection, ref.ExternalID).Scan(&raw); err != nil {
		return fmt.Errorf("%s: %w", ref.ExternalID, err)
	}
	got, err := decodeObject(raw)
	for name := range want {
		if !sameJSON(want[name], got[name]) {
			return fmt.Errorf("the properties are %s", raw)
		}
	}
	return err
}

// expectRequest takes the oldest request that hasn't been expected.
func (s *scenario) expectRequest(w *words) error {
	r, ok := s.server.taken()
	if !ok {
		return fmt.Errorf("there was no request")
	}
	if method, target := w.text(), w.text(); method != r.method || target != r.target {
		return fmt.Errorf("the request was %s %s", r.method, r.target)
	}
	if w.flag("signed") {
		secret := one[[]byte](s.world, `SELECT request_secret FROM environments WHERE id = $1`, s.env)
		if err := egress.Verify(secret, r.header.Get(egress.SignatureHeader), []byte(r.body), time.Now(), time.Minute); err != nil {
			return err
		}
	}
	if body, ok := w.next(); ok && body.text != r.body && !sameJSON(body.json, json.RawMessage(r.body)) {
		return fmt.Errorf("the body was %q", r.body)
	}
	for i := len(*w) - 1; i >= 0; i-- {
		h := (*w)[i]
		name, isHeader := strings.CutPrefix(h.key, "header.")
		if !isHeader {
			continue
		}
		if got := r.header.Get(name); got != h.text {
			return fmt.Errorf("the header %s was %q", name, got)
		}
		*w = slices.Delete(*w, i, i+1)
	}
	return nil
}

// end checks what holds in the end of every case, and cleans up for the next.
func (s *scenario) end() {
	s.t.Helper()
	s.check(s.expectNone())
	for _, r := range s.allRuns() {
		if r.Status == Failed && !s.failures[r.trigger.String()+r.user] {
			s.fail("the run of %s failed, and nobody expected that", r.user)
		}
	}
	if !s.stopped {
		s.checkRest()
	}
	for _, table := range []string{"runs", "fan_outs", "batches", "fetches", "signals", "waits"} {
		s.exec(`DELETE FROM `+table+` WHERE environment_id = $1`, s.env)
	}
	s.exec(`DELETE FROM environments WHERE id = $1`, s.env)
}

// checkRest finds rows that nothing will ever come of.
func (s *scenario) checkRest() {
	s.t.Helper()
	for what, sql := range map[string]string{
		"recipients who never got a run": `SELECT count(*) FROM fan_outs WHERE environment_id = $1`,
		"signals that nobody looked at":  `SELECT count(*) FROM signals WHERE environment_id = $1`,
		"waits of runs that don't wait":  `SELECT count(*) FROM waits w WHERE environment_id = $1 AND NOT EXISTS (SELECT FROM runs r WHERE r.recipient_id = w.recipient_id AND r.trigger_id = w.trigger_id AND r.waiting_for = 'event')`,
		"requests of runs that don't wait": `SELECT count(*) FROM fetches f WHERE environment_id = $1 AND NOT EXISTS
			(SELECT FROM runs r WHERE r.recipient_id = f.recipient_id AND r.trigger_id = f.trigger_id AND r.waiting_for = 'fetch')`,
		"runs that wait for nothing": `SELECT count(*) FROM runs r WHERE environment_id = $1 AND status = 'waiting' AND due_at IS NULL
			AND NOT EXISTS (SELECT FROM batches b WHERE b.recipient_id = r.recipient_id AND b.carrier_id = r.trigger_id AND close_at IS NOT NULL)
			AND NOT EXISTS (SELECT FROM fetches f WHERE f.recipient_id = r.recipient_id AND f.trigger_id = r.trigger_id)`,
		"batches that are open for ever": `SELECT count(*) FROM batches WHERE environment_id = $1 AND open AND close_at IS NULL`,
	} {
		if n := one[int](s.world, sql, s.env); n != 0 {
			s.fail("in the end there are %d %s", n, what)
		}
	}
}
