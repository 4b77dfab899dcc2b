package engine

import (
	"context"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/condition"
)

// trigger is what runs share that were triggered together.
type trigger struct {
	id              uuid.UUID
	env             belfry.EnvironmentID
	workflow        int64
	versionID       int64
	actor, tenant   belfry.RecipientID
	data            map[string]any
	overlays        map[belfry.RecipientID]map[string]any // laid over the data for some recipients
	cancellationKey string
	priority        Priority
	source          Source
	sandbox         bool
	skipDelay       bool
	depth           int
	acceptedAt      time.Time
	schedule        *uuid.UUID     // that caused it; nil: none
	occurrence      map[string]any // what templates see of the schedule
	active          bool           // the workflow, now
	current         int64          // version of the workflow, now

	version    *version
	unreadable error                      // of data
	rendered   map[part]workflow.Rendered // what of messages are the same for all its runs
}

// run is a recipient's run of a claimed trigger, and what is decided for it.
type run struct {
	trigger   *trigger
	fanOut    *fanOut // nil: it has waited
	version   *version
	recipient belfry.RecipientID
	user      string // external id

	// Of a run that has waited.
	loaded     State
	waitingFor string
	cause      *wake   // why it goes on; nil: it is new
	wake       *wake   // cause, until it has been dealt with
	signals    []int64 // ids of those that it wakes for
	closing    bool    // its batch closes now
	unreadable error   // what it would go on with; why says what that is
	why        string

	reach        reach                  // of the recipient
	subscription map[string]any         // what the run sees of the one that it is for
	memberships  *recipient.Memberships // of audiences that its program or preferences ask for; nil: of none

	tombstone bool                                      // it has been cancelled
	summary   *summary                                  // of the batch that it carries
	statuses  map[belfry.MessageID]belfry.MessageStatus // of the messages that it sent before

	preferences recipient.PreferenceSets // what its recipient wants to be told
	decided     decisions                // of its batch
	links       *recipient.Links         // makes those to its recipient's preferences; nil: they can't be made

	scope  Scope
	answer any
	decision
}

// reply answers the run's question.
func (r *run) reply(answer any) { r.answer = answer }

// reset lets the run begin again from where it was when it was claimed.
func (r *run) reset() {
	r.decision, r.answer, r.scope, r.wake = decision{state: r.loaded}, nil, nil, r.cause
	r.state.Refs = maps.Clone(r.loaded.Refs)
}

// prepare gives the run its scope, or decides at once that it is over. person is nil if the recipient is gone.
func (r *run) prepare(shared Scope, person *belfry.Recipient, now time.Time) {
	t := r.trigger
	switch {
	case r.tombstone:
		r.end(Cancelled, LogEntry{Outcome: OutcomeCancelled, Reason: "cancellation_key"})
	case t.unreadable != nil:
		r.fail("", "data_unreadable", t.unreadable.Error())
	case r.unreadable != nil:
		r.fail("", r.why, r.unreadable.Error())
	case t.current == 0:
		r.fail("", "workflow_unusable", "the workflow was deleted after the trigger was accepted")
	case r.version.program == nil:
		r.fail("", "workflow_unusable", r.version.unusable.Error())
	case !t.active && r.waitingFor != waitEvent: // whether an event ends its wait isn't known yet: see advance
		r.end(Cancelled, switchedOff)
	case person == nil:
		r.fail("", "recipient_gone", "the recipient was deleted after the trigger was accepted")
	}
	if r.status != "" {
		return
	}
	r.user = person.ExternalID
	r.scope = shared.with(person)
	if r.version.program.Links {
		r.scope["vars"] = r.linked(r.scope["vars"])
	}
	r.scope.schedule(t.occurrence)
	r.scope.subscription(r.subscription)
	r.askAudiences()
	if overlay := t.overlays[r.recipient]; overlay != nil && r.state.Data == nil {
		r.state.Data = workflow.MergeAt(t.data, nil, overlay)
	}
	if r.state.Data != nil {
		r.scope["data"] = r.state.Data
	}
	r.scope["activities"] = r.soleActivity()
	for step, ref := range r.state.Refs {
		var status *belfry.MessageStatus
		if id, ok := ref.message(r.recipient); ok {
			if s, known := r.statuses[id]; known {
				status = &s
				if s.Item != 0 { // it was held back: from now on it is known by the id that events call it by
					item := *ref
					item.Seq = s.Item
					ref, r.state.Refs[step] = &item, &item
				}
			}
		}
		r.scope.refer(step, ref.scope(status))
	}
	if r.summary != nil && !r.closing {
		r.scope.summarise(r.summary)
	}
	if r.closing {
		r.wake = &wake{batch: r.summary}
	}
}

// askAudiences lets conditions ask whether the recipient belongs to audiences.
func (r *run) askAudiences() {
	if r.memberships != nil {
		r.scope.audiences(r.memberships, r.trigger, r.recipient)
	}
}

// audiences lets conditions ask whether a recipient of the trigger's belongs to audiences.
func (s Scope) audiences(m *recipient.Memberships, t *trigger, who belfry.RecipientID) {
	s[condition.AudiencesKey] = condition.Membership(func(person map[string]any, key string, now time.Time) bool {
		return m.Has(t.env, key, who, person, t.tenant, now)
	})
}

// cannotRead notes that something is stored in a way that the run can't go on with. It fails, and nobody else does.
func (r *run) cannotRead(why string, err error) {
	if err != nil && r.unreadable == nil {
		r.unreadable, r.why = err, why
	}
}

// soleActivity is what templates see as activities where there is no batch.
func (r *run) soleActivity() []any {
	if r.version.program == nil || !r.version.program.Activities {
		return nil
	}
	s := Scope{"recipient": r.scope["recipient"]}
	data, _ := r.scope["data"].(map[string]any)
	s.summarise(&summary{total: 1, activities: []activity{{trigger: r.trigger.id, at: r.trigger.acceptedAt, data: data}}})
	list, _ := s["activities"].([]any)
	if first, ok := list[0].(map[string]any); ok {
		first["actor"] = r.scope["actor"]
	}
	return list
}

// end ends the run before it got anywhere.
func (r *run) end(s Status, e LogEntry) {
	r.status = s
	r.log = append(r.log, e)
}

// advance takes the run as far as it gets. ctx bounds how long that may take. c is where: one run after the other may use it.
func (r *run) advance(ctx context.Context, c *course, now time.Time) {
	r.ask = nil
	*c = course{ctx: ctx, program: r.version.program, version: r.version, trigger: r.trigger, scope: r.scope, now: now,
		recipient: r.recipient, links: r.links, preferences: r.preferences, decided: r.decided, firstData: r.firstData(), reach: r.reach, statuses: r.statuses, wake: r.wake, answer: r.answer, decision: r.decision}
	c.advance()
	r.wake, r.decision = c.wake, c.decision
	if stays := r.status == Waiting && len(r.log) == 0; !r.trigger.active && !stays {
		r.reset()
		r.end(Cancelled, switchedOff)
	}
}

// advanceFor is advance within so much time.
func (r *run) advanceFor(ctx context.Context, limit time.Duration, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r.advance(ctx, &course{}, now)
}

var switchedOff = LogEntry{Outcome: OutcomeCancelled, Reason: "workflow_inactive", Detail: "the workflow is switched off"}

// ownData is the run's data as JSON, if it isn't that of the trigger.
func (r *run) ownData() (*string, error) {
	if r.state.Data == nil {
		return nil, nil
	}
	b, err := encode(r.state.Data)
	s := string(b)
	return &s, err
}

// environmentsOf lists the environments of runs, each once.
func environmentsOf(runs []*run) []belfry.EnvironmentID {
	seen := make(map[belfry.EnvironmentID]bool, 1)
	out := make([]belfry.EnvironmentID, 0, 1)
	for _, r := range runs {
		if !seen[r.trigger.env] {
			seen[r.trigger.env] = true
			out = append(out, r.trigger.env)
		}
	}
	return out
}
