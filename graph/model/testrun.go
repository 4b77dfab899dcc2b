package model

import (
	"fmt"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// TestRun is a run that didn't happen, as the API shows it.
type TestRun struct {
	*engine.TestRun
}

// Status is the state that it would reach.
func (r *TestRun) Status() RunStatus { return RunStatus(strings.ToUpper(string(r.TestRun.Status))) }

// Steps is what would happen, in order.
func (r *TestRun) Steps() ([]RunStep, error) { return newSteps(r.Log, nil) }

// DurationSeconds is how long it would take.
func (r *TestRun) DurationSeconds() float64 { return r.Duration.Seconds() }

// Messages is what it would send.
func (r *TestRun) Messages() ([]TestMessage, error) {
	out := make([]TestMessage, len(r.TestRun.Messages))
	for i, m := range r.TestRun.Messages {
		out[i] = TestMessage{Step: m.Step, Channel: m.Channel, Type: ChannelType(strings.ToUpper(string(m.Type))), At: m.At}
		if !m.SendAt.IsZero() {
			out[i].SendAt = &m.SendAt
		}
		if err := convert(m.Content, &out[i].Content); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Fetches is what it would request.
func (r *TestRun) Fetches() []TestFetch {
	out := make([]TestFetch, len(r.TestRun.Fetches))
	for i, f := range r.TestRun.Fetches {
		out[i] = TestFetch{Step: f.Step, Method: f.Request.Method, URL: f.Request.URL, Headers: map[string]any{}, Body: optional(f.Request.Body), At: f.At}
		for name, value := range f.Request.Headers {
			out[i].Headers[name] = value
		}
	}
	return out
}

// NewTestPayload makes the API's form of what a workflow would do.
func NewTestPayload(r *engine.TestResult) *TestWorkflowPayload {
	out := &TestWorkflowPayload{Others: make([]TestRun, len(r.Others)), Problems: NewProblems(r.Problems)}
	if len(r.Problems) == 0 {
		out.Run = &TestRun{&r.TestRun}
	}
	for i := range r.Others {
		out.Others[i] = TestRun{&r.Others[i]}
	}
	return out
}

// Request is the test that the input asks for.
func (in *TestWorkflowInput) Request() (*engine.TestRequest, error) {
	if (in.Workflow == nil) == (in.Definition == nil) {
		return nil, belfry.Errorf(belfry.Invalid, "give exactly one of workflow and definition").At("input")
	}
	r := &engine.TestRequest{Workflow: given(in.Workflow), Tenant: given(in.Tenant), TenantProperties: in.TenantProperties,
		Data: in.Data, At: instant(in.At), SkipDelays: in.SkipDelays}
	var err error
	if in.Definition != nil {
		r.Workflow = in.Definition.Key
		if err := belfry.ValidateKey(r.Workflow, "input.definition.key"); err != nil {
			return nil, err
		}
		if r.Definition, err = in.Definition.Definition(); err != nil {
			return nil, err
		}
	}
	if r.Tenant != "" {
		if err := belfry.ValidateExternalID(r.Tenant, "input.tenant"); err != nil {
			return nil, err
		}
	}
	if r.Recipient, r.RecipientProperties, err = in.Recipient.party("input.recipient"); err != nil {
		return nil, err
	}
	if r.Actor, r.ActorProperties, err = in.Actor.actor("input.actor"); err != nil {
		return nil, err
	}
	for _, e := range in.Events {
		r.Events = append(r.Events, engine.TestEvent{After: elapsed(e.After), Event: engine.Event{
			Type: workflow.EventType(e.Type), Name: e.Name, Step: given(e.Step), Workflow: given(e.Workflow), Data: e.Data}})
	}
	for i, t := range in.Triggers {
		further := engine.TestTrigger{After: elapsed(t.After), Data: t.Data}
		if further.Actor, further.ActorProperties, err = t.Actor.actor(fmt.Sprintf("input.triggers[%d].actor", i)); err != nil {
			return nil, err
		}
		r.Triggers = append(r.Triggers, further)
	}
	r.Responses, err = responses(in.Responses)
	return r, err
}

// responses are answers by the step that gets them.
func responses(in []TestResponseInput) (map[string]engine.TestResponse, error) {
	out := make(map[string]engine.TestResponse, len(in))
	for i, r := range in {
		field := fmt.Sprintf("input.responses[%d]", i)
		if _, twice := out[r.Step]; twice {
			return nil, belfry.Errorf(belfry.Invalid, "the step %.100q has a response already", r.Step).At("%s.step", field)
		}
		if r.Status < 100 || r.Status > 599 {
			return nil, belfry.Errorf(belfry.Invalid, "must be an HTTP status: 100 to 599").At("%s.status", field)
		}
		answer := engine.TestResponse{Status: r.Status}
		if r.Body != nil {
			b, err := encode(r.Body)
			if err != nil {
				return nil, err
			}
			answer.Body = string(b)
		}
		out[r.Step] = answer
	}
	return out, nil
}

// party is whom the input names; nobody, if it only has properties.
func (in *TestPartyInput) party(field string) (ref belfry.RecipientRef, properties map[string]any, err error) {
	switch {
	case in.User != nil && in.Object != nil:
		return ref, nil, belfry.Errorf(belfry.Invalid, "give at most one of user and object").At("%s", field)
	case in.User != nil:
		ref = belfry.User(*in.User)
		err = belfry.ValidateExternalID(ref.ExternalID, field+".user")
	case in.Object != nil:
		if ref, err = in.Object.Recipient(field + ".object"); err == nil {
			err = belfry.ValidateExternalID(ref.ExternalID, field+".object.id")
		}
	}
	return ref, in.Properties, err
}

// actor is party for somebody who need not be there, but has a name.
func (in *TestPartyInput) actor(field string) (ref belfry.RecipientRef, properties map[string]any, err error) {
	if in == nil {
		return ref, nil, nil
	}
	if in.User == nil && in.Object == nil {
		return ref, nil, belfry.Errorf(belfry.Invalid, "give exactly one of user and object").At("%s", field)
	}
	return in.party(field)
}

// elapsed is how long after the start of a test something happens. Its months are those of 2026.
func elapsed(d *calendar.Duration) time.Duration {
	if d == nil {
		return 0
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return d.After(start, time.UTC).Sub(start)
}
