package workflow

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/calendar"
	"github.com/belfryhq/belfry/workflow/template"
)

// itemTemplate is how an in-app message is kept in its feed.
type itemTemplate struct {
	options belfry.ItemOptions // all but ResourceKey
	key     *template.Template // nil: none
}

// itemOptions compiles what an in-app step says of its place in the feed; nil if it says nothing.
func (c *compiler) itemOptions(path string, in *InApp) *itemTemplate {
	t := &itemTemplate{options: belfry.ItemOptions{Priority: in.Priority, Severity: in.Severity, Replaces: in.Replaces}}
	c.oneOf(path+".priority", string(in.Priority), "", string(belfry.LowPriority), string(belfry.NormalPriority), string(belfry.HighPriority), string(belfry.UrgentPriority))
	c.oneOf(path+".severity", string(in.Severity), "", string(belfry.InfoSeverity), string(belfry.SuccessSeverity), string(belfry.WarningSeverity), string(belfry.ErrorSeverity))
	if in.Priority == belfry.NormalPriority {
		t.options.Priority = "" // the default costs nothing
	}
	if d := in.ExpiresAfter; d != nil {
		c.duration(path+".expiresAfter", d, belfry.MaxExpiry)
		if d.Unit == calendar.Months {
			c.problemf(path+".expiresAfter.unit", "months differ in length: give weeks or days")
		}
		start := time.Unix(0, 0)
		t.options.ExpiresAfter = int64(d.After(start, time.UTC).Sub(start) / time.Second)
	}
	if in.ResourceKey != "" {
		t.key = c.template(path+".resourceKey", in.ResourceKey, template.Text)
	} else if in.Replaces {
		c.problemf(path+".replaces", "older messages of the same resourceKey are replaced: give that too")
	}
	if t.key == nil && t.options == (belfry.ItemOptions{}) {
		return nil
	}
	return t
}

// renderItem fills in the options. A key that is too long, or that can't be stored, is left out with a warning, like an
// unsafe link: the message is what matters.
func (out *Rendered) renderItem(ctx context.Context, t *itemTemplate, scope map[string]any) error {
	options := t.options
	if t.key != nil {
		key, err := t.key.Render(ctx, scope)
		if err != nil {
			return fmt.Errorf("resourceKey: %w", err)
		}
		key = strings.TrimSpace(key)
		if err := belfry.ValidateResourceKey(key, "resourceKey"); key != "" && err != nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("resourceKey: left out, %v", err))
			key = ""
		}
		if options.ResourceKey = key; key == "" {
			options.Replaces = false // it would replace whatever else has no key
		}
		out.Size += len(key)
	}
	if options != (belfry.ItemOptions{}) {
		out.Content.Item = &options
	}
	return nil
}
