package engine

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

// simulation is a small engine in memory. Its runs are those of the real one, and take the same course; what they ask is
// answered from memory, and time is what it says.
type simulation struct {
	engine  *Engine
	env     belfry.EnvironmentID
	request *TestRequest
	version *version
	vars    map[string]any
	links   *recipient.Links         // examples
	wishes  recipient.PreferenceSets // of the recipient
	ids     map[belfry.RecipientRef]belfry.RecipientID
	people  map[belfry.RecipientID]*belfry.Recipient
	reach   map[belfry.RecipientID]reach

	memberships *recipient.Memberships
	now         time.Time
	agenda      []happening // what was given, in order
	runs        []*simulatedRun
	batches     []*openBatch // that haven't closed
	activities  map[batchKey][]activity
	summaries   map[batchKey]*summary
	throttles   map[throttleKey]*throttleRow
	seqs        map[string]int64 // of the latest message, by channel
	statuses    map[belfry.MessageID]belfry.MessageStatus
	started     map[string]string // key of the workflow, by step
	resumptions int
	size        int
}

// simulatedRun is a run with everything that became of it so far.
type simulatedRun struct {
	TestRun
	*run
}

// happening is something that the caller wants to happen.
type happening struct {
	at time.Time
	do func(context.Context) error
}

func newSimulation(e *Engine, env belfry.EnvironmentID, r *TestRequest) *simulation {
	var links *recipient.Links
	if public := e.Recipients.PublicURL; public != "" {
		links = recipient.ExampleLinks(public)
	}
	return &simulation{
		engine: e, env: env, request: r, now: r.At, links: links,
		ids: map[belfry.RecipientRef]belfry.RecipientID{}, people: map[belfry.RecipientID]*belfry.Recipient{},
		activities: map[batchKey][]activity{}, summaries: map[batchKey]*summary{}, throttles: map[throttleKey]*throttleRow{},
		seqs: map[string]int64{}, statuses: map[belfry.MessageID]belfry.MessageStatus{}, started: map[string]string{},
	}
}

// play lets everything happen in its order.
func (s *simulation) play(ctx context.Context) error {
	for i := range s.request.Events {
		e := &s.request.Events[i]
		s.agenda = append(s.agenda, happening{s.request.At.Add(e.After), func(ctx context.Context) error { return s.occur(ctx, e.Event) }})
	}
	for i := range s.request.Triggers {
		t := &s.request.Triggers[i]
		s.agenda = append(s.agenda, happening{s.request.At.Add(t.After), func(ctx context.Context) error { return s.begin(ctx, t.Data, t.Actor) }})
	}
	slices.SortStableFunc(s.agenda, func(a, b happening) int { return a.at.Compare(b.at) })
	if err := s.begin(ctx, s.request.Data, s.request.Actor); err != nil {
		return err
	}
	for {
		next := s.next()
		if next == nil {
			return ctx.Err()
		}
		if next.at.After(s.now) {
			s.now = next.at.UTC()
		}
		if err := next.do(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func tooMuch(limit int, message, field string) error {
	return &belfry.Error{Code: belfry.TooLarge, Message: fmt.Sprintf(message, limit), Field: field, Limit: limit}
}

// next is what happens next; nil if nothing does. What is given comes before what is due at the same time.
func (s *simulation) next() (next *happening) {
	consider := func(at time.Time, do func(context.Context) error) {
		if next == nil || at.Before(next.at) {
			next = &happening{at, do}
		}
	}
	if len(s.agenda) > 0 {
		first := s.agenda[0]
		consider(first.at, func(ctx context.Context) error {
			s.agenda = s.agenda[1:]
			return first.do(ctx)
		})
	}
	for _, r := range s.runs {
		switch {
		case r.status != Waiting:
		case r.wait.kind == waitFetch:
			consider(s.now, func(ctx context.Context) error { return s.resume(ctx, r, s.respond(r)) })
		case !r.wait.due.IsZero():
			consider(r.wait.due, func(ctx context.Context) error { return s.resume(ctx, r) })
		}
	}
	for _, b := range s.batches {
		consider(b.closes, func(ctx context.Context) error { return s.closeBatch(ctx, b) })
	}
	return next
}

// begin triggers the workflow.
func (s *simulation) begin(ctx context.Context, data map[string]any, actor belfry.RecipientRef) error {
	t := &trigger{
		id: newID(s.now), env: s.env, workflow: s.version.Workflow, versionID: s.version.ID, actor: s.ids[actor], tenant: s.ids[tenantRef(s.request.Tenant)],
		data: data, source: SourceAPI, priority: Normal, skipDelay: s.request.SkipDelays, acceptedAt: s.now,
		active: true, current: max(s.version.ID, 1), version: s.version,
	}
	r := &simulatedRun{run: &run{trigger: t, fanOut: &fanOut{}, version: s.version, recipient: s.ids[s.request.Recipient]}}
	s.runs = append(s.runs, r)
	return s.carry(ctx, r)
}

// resume lets a waiting run go on, as if its state had been stored meanwhile.
func (s *simulation) resume(ctx context.Context, r *simulatedRun, signals ...signal) error {
	if s.resumptions++; s.resumptions > MaxTestResumptions {
		return tooMuch(MaxTestResumptions, "the runs of a test go on behind a wait at most %d times: give fewer triggers or events", "input.triggers")
	}
	b, err := encode(&r.state)
	if err != nil {
		return fmt.Errorf("encode run state: %w", err)
	}
	old := r.run
	r.run = &run{trigger: old.trigger, version: old.version, recipient: old.recipient, waitingFor: old.wait.kind, cause: &wake{signals: signals}}
	if err := decode(b, &r.loaded); err != nil {
		return fmt.Errorf("decode run state: %w", err)
	}
	if key := r.loaded.Batch; key != nil {
		r.summary = s.summaries[*key]
		r.closing = r.waitingFor == waitBatch
	}
	s.deliver(r)
	r.statuses = s.statuses
	return s.carry(ctx, r)
}

// deliver takes it that whatever was to be sent until now has been.
func (s *simulation) deliver(r *simulatedRun) {
	for _, m := range r.Messages {
		if ref := r.loaded.Refs[m.Step]; ref != nil && s.now.After(m.At) && !s.now.Before(m.SendAt) {
			if id, ok := ref.message(r.recipient); ok && s.statuses[id].Delivery == belfry.Queued {
				status := s.statuses[id]
				status.Delivery = belfry.Sent
				s.statuses[id] = status
			}
		}
	}
}

// reachOf is where the run's recipient has devices and connections: whoever is made up, wherever it is needed.
func (s *simulation) reachOf(r *run) reach {
	if r.recipient > 0 {
		return s.reach[r.recipient]
	}
	everywhere := reach{}
	for _, op := range s.version.program.Ops {
		if op.Message != nil {
			everywhere[op.Message.Channel] = op.Message.Type
		}
	}
	return everywhere
}

// carry takes a run as far as it gets, and notes what it decided.
func (s *simulation) carry(ctx context.Context, r *simulatedRun) error {
	r.reset()
	r.preferences = s.wishes
	r.reach = s.reachOf(r.run)
	r.memberships = s.memberships
	r.links = s.links
	r.prepare(r.trigger.scope(s.version, s.people, s.vars, s.now), s.people[r.recipient], s.now)
	for r.status == "" {
		if r.advance(ctx, &course{}, s.now); r.ask == nil {
			break
		}
		if err := s.answer(ctx, r.run); err != nil {
			return err
		}
	}
	if s.size += r.size; s.size > maxTestSize {
		return tooMuch(maxTestSize, "the messages and data of a test are at most %d bytes: give fewer triggers, or less data", "input.data")
	}
	s.note(r)
	var events []Event
	r.workflowEvents(s.now, func(o occurrence) { events = append(events, o.Event) })
	for _, event := range events {
		if err := s.tell(ctx, event, r); err != nil {
			return err
		}
	}
	return nil
}

// note adds what a run decided to what became of it.
func (s *simulation) note(r *simulatedRun) {
	now := s.now
	for i := range r.log {
		entry := &r.log[i]
		if entry.At = &now; entry.Outcome == OutcomeStarted {
			entry.Detail = s.started[entry.Step] // no trigger has an id
		}
	}
	for _, e := range r.effects {
		s.seqs[e.message.Channel]++
		if ref := r.state.Refs[e.step]; ref != nil { // somebody may ask what became of it
			ref.Seq = s.seqs[e.message.Channel]
			id, _ := ref.message(r.recipient)
			status := belfry.MessageStatus{Delivery: belfry.Queued}
			if e.message.Type == belfry.InApp && e.sendAt.IsZero() {
				status.Delivery = belfry.Sent
			}
			s.statuses[id] = status
		}
		r.Messages = append(r.Messages, TestMessage{e.step, e.message.Channel, e.message.Type, e.content, s.now, e.sendAt})
	}
	if r.fetch != nil && r.status == Waiting {
		r.Fetches = append(r.Fetches, TestFetch{s.version.program.Ops[r.state.PC].Step, *r.fetch, s.now})
	}
	r.Log = append(r.Log, slices.Clone(r.log)...)
	r.Status, r.Duration = r.status, s.now.Sub(r.trigger.acceptedAt)
}

// respond is the answer to the request that a run waits for.
func (s *simulation) respond(r *simulatedRun) signal {
	step := s.version.program.Ops[r.state.PC].Step
	given, ok := s.request.Responses[step]
	out := &response{Status: cmp.Or(given.Status, http.StatusOK), Body: given.Body}
	switch {
	case !ok:
		out.Error = fmt.Sprintf("no response was given for the step %q: a test run makes no requests, say in responses what this one gets", step)
	case !slices.Contains([]int{http.StatusOK, http.StatusCreated, http.StatusNoContent}, out.Status):
		out.Error = fmt.Sprintf("the server answered with status %d", out.Status)
	case len(out.Body) > MaxDataSize:
		out.Error = fmt.Sprintf("the response is larger than %d bytes", MaxDataSize)
	}
	return signal{Response: out}
}

// occur lets an event happen that was given.
func (s *simulation) occur(ctx context.Context, e Event) error {
	e.At = s.now
	switch {
	case e.Type == workflow.RecipientEvent:
		if _, err := s.change(s.request.Recipient, e.Data, "input.events.data"); err != nil {
			return err
		}
		e.Data = nil
	case e.Type == workflow.MessageEvent && e.Step != "":
		for _, r := range slices.Clone(s.runs) {
			ref := r.state.Refs[e.Step]
			if ref == nil {
				continue
			}
			id, ok := ref.message(r.recipient)
			if !ok {
				continue // it was skipped
			}
			status := s.statuses[id]
			s.statuses[id] = changed(status, e.Name)
			e.Channel, e.Seq, e.Workflow = id.Channel, id.Seq, s.version.Key
			if err := s.tell(ctx, e, nil); err != nil {
				return err
			}
		}
		return nil
	}
	return s.tell(ctx, e, nil)
}

// tell wakes the runs that wait for such an event, but the one that caused it.
func (s *simulation) tell(ctx context.Context, e Event, cause *simulatedRun) error {
	for _, r := range slices.Clone(s.runs) {
		if r != cause && r.status == Waiting && r.wait.event != nil && r.wait.event.Type == e.Type && r.wait.event.Name == e.Name {
			if err := s.resume(ctx, r, signal{Event: &e}); err != nil {
				return err
			}
		}
	}
	return nil
}

// changed is a status behind an event, by the event's name.
func changed(m belfry.MessageStatus, name string) belfry.MessageStatus {
	switch name {
	case "seen":
		m.Seen = true
	case "unseen":
		m.Seen = false
	case "read":
		m.Seen, m.Read = true, true
	case "unread":
		m.Read = false
	case "interacted":
		m.Seen, m.Read, m.Interacted = true, true, true
	case "archived":
		m.Archived = true
	case "unarchived":
		m.Archived = false
	default:
		m.Delivery = belfry.DeliveryStatus(name)
	}
	return m
}

// closeBatch lets the run go on that carries a batch.
func (s *simulation) closeBatch(ctx context.Context, b *openBatch) error {
	s.batches = slices.DeleteFunc(s.batches, func(other *openBatch) bool { return other == b })
	if b.carrier == uuid.Nil {
		return nil
	}
	key := batchKey{b.opener, b.step}
	all := s.activities[key]
	out := &summary{total: len(all), activities: all}
	actors := map[belfry.RecipientID]bool{}
	for _, a := range all {
		actors[a.actorID] = true
	}
	delete(actors, 0)
	out.totalActors = len(actors)
	i, _ := s.version.program.Find(workflow.OpBatch, b.step)
	if spec := s.version.program.Ops[i].Batch; len(all) > spec.RenderLimit {
		if out.activities = all[:spec.RenderLimit]; spec.Last {
			out.activities = all[len(all)-spec.RenderLimit:]
		}
	}
	out.introduce(s.people)
	s.summaries[key] = out
	for _, r := range s.runs {
		if r.trigger.id == b.carrier && r.status == Waiting {
			return s.resume(ctx, r)
		}
	}
	return nil
}
