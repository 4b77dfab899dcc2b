package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// send renders a message and sends it: at once, or when the recipient's clock allows it. The run doesn't wait for that.
func (c *course) send(op *workflow.Op) flow {
	m := op.Message
	wanted := c.wanted(m)
	if !wanted.Allowed {
		return c.skip(LogEntry{Step: op.Step, Reason: "preference", Detail: denial(wanted), Preferences: wanted.Because})
	}
	to, missing := c.address(m)
	if missing != "" {
		return c.skip(LogEntry{Step: op.Step, Reason: "missing_recipient_data", Detail: missing})
	}
	advertises := m.Type == belfry.Email && c.version.Definition.Settings.Commercial
	if advertises && c.links == nil {
		return c.skip(LogEntry{Step: op.Step, Reason: "no_public_url", Detail: noPublicURL})
	}
	e := effect{step: op.Step, message: m, entry: len(c.log)}
	entry := LogEntry{Step: op.Step, Outcome: OutcomeSent, Preferences: wanted.Because}
	at, reason, ok := c.hold(m, wanted)
	if !ok {
		return c.skip(LogEntry{Step: op.Step, Reason: "send_window", Detail: "the window never opens"})
	}
	if !at.IsZero() {
		e.sendAt, entry.Outcome, entry.Reason, entry.Until = at, OutcomeQueued, reason, &at
	}
	rendered, err := c.render(m)
	if err != nil {
		return c.failed(op.Step, err)
	}
	e.content = rendered.Content
	e.content.To = to
	if advertises {
		e.content.Headers = c.unsubscribeHeaders()
		rendered.Size += unsubscribeHeadersSize
	}
	if m.Links && c.links == nil {
		rendered.Warnings = append(slices.Clip(rendered.Warnings), noLinks)
	}
	if len(rendered.Warnings) > 0 && entry.Reason == "" {
		entry.Reason, entry.Detail = "warning", strings.Join(rendered.Warnings, "; ")
	}
	c.effects = append(c.effects, e)
	c.size += rendered.Size
	c.note(entry)
	// Its id is known when it is stored: the engine fills it in then.
	c.refer(op.Step, &Ref{Channel: m.Channel})
	if c.program.SeesRefs {
		status := belfry.MessageStatus{Delivery: belfry.Queued}
		if m.Type == belfry.InApp && entry.Outcome == OutcomeSent {
			status.Delivery = belfry.Sent
		}
		if c.trigger.sandbox {
			status.Delivery = belfry.NotSent
		}
		c.scope.refer(op.Step, c.state.Refs[op.Step].scope(&status))
	}
	return forward
}

// reach says on which channels somebody has devices or connections, and for which type of channel they are.
type reach = map[string]belfry.ChannelType

// address is where messages for the recipient go, or what is missing for that. Empty: the provider knows, or there is no
// need to.
func (c *course) address(m *workflow.MessageTemplate) (to, missing string) {
	if m.Type.NeedsData() && c.reach[m.Channel] != m.Type {
		return "", "the recipient has no devices or connections on the channel " + m.Channel
	}
	person, _ := c.scope["recipient"].(map[string]any)
	property := ""
	switch m.Type {
	case belfry.InApp:
		if person["collection"] != belfry.Users {
			return "", "only users have a feed"
		}
	case belfry.Email:
		property = "email"
	case belfry.SMS:
		property = "phone_number"
	}
	if property == "" {
		return "", ""
	}
	if to, _ = person[property].(string); to == "" {
		return "", "the recipient has no " + property
	}
	return to, ""
}

// render fills in a message; what is the same for all runs of a trigger once for all of them.
func (c *course) render(m *workflow.MessageTemplate) (workflow.Rendered, error) {
	body, err := c.once(part{m, true}, m.SharedBody, m.RenderBody)
	if err != nil {
		return body, err
	}
	rest, err := c.once(part{m, false}, m.SharedRest, m.RenderRest)
	return rest.With(body), err
}

// part is the body of a message, or everything else of it.
type part struct {
	of   *workflow.MessageTemplate
	body bool
}

func (c *course) once(p part, shared bool, render func(context.Context, map[string]any) (workflow.Rendered, error)) (workflow.Rendered, error) {
	if !shared || c.own || c.state.Data != nil || c.trigger.rendered == nil {
		return render(c.ctx, c.scope)
	}
	if done, ok := c.trigger.rendered[p]; ok {
		return done, nil
	}
	rendered, err := render(c.ctx, c.scope)
	if err == nil {
		c.trigger.rendered[p] = rendered
	}
	return rendered, err
}
