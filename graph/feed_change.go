package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
	"github.com/belfryhq/belfry/workflow/template"
)

// update changes an item as an input says.
func (r *Resolver) update(ctx context.Context, ref feed.Ref, in *model.UpdateItemInput) (*model.UpdateItemPayload, error) {
	change, err := contentChange(in)
	if err != nil {
		return nil, err
	}
	if (in.ID == nil) == (in.ResourceKey == nil) {
		return nil, belfry.Errorf(belfry.Invalid, "give exactly one of id and resourceKey").At("input")
	}
	var id *belfry.MessageID
	resource := ""
	if in.ID != nil {
		parsed, err := belfry.ParseMessageID(*in.ID)
		if err != nil {
			return nil, err
		}
		id = &parsed
	} else {
		resource = *in.ResourceKey
	}
	item, at, err := r.Feeds.Update(ctx, ref, id, resource, change)
	if err != nil {
		return nil, err
	}
	return &model.UpdateItemPayload{Item: model.FeedItem{Item: item, Environment: ref.Environment}, Position: at.String()}, nil
}

// contentChange checks what an item is to show as a step's is checked: nothing of it is trusted.
func contentChange(in *model.UpdateItemInput) (c feed.ContentChange, err error) {
	if in.Body != nil {
		if c.Body, err = plainBody(*in.Body, in.Format); err != nil {
			return c, err
		}
	}
	if in.ActionURL != nil {
		url := *in.ActionURL
		if url != "" {
			if url, err = safeURL(url, "input.actionUrl"); err != nil {
				return c, err
			}
		}
		c.ActionURL = &url
	}
	if len(in.Buttons) > workflow.MaxButtons {
		return c, belfry.Beyond("input.buttons", workflow.MaxButtons, "buttons")
	}
	if in.Buttons != nil {
		c.Buttons = []belfry.Button{}
	}
	for i, b := range in.Buttons {
		at := fmt.Sprintf("input.buttons[%d]", i)
		action, err := safeURL(b.Action, at+".action")
		if err != nil {
			return c, err
		}
		if err := belfry.ValidateText(b.Label, at+".label"); err != nil {
			return c, err
		}
		c.Buttons = append(c.Buttons, belfry.Button{Label: b.Label, Action: action})
	}
	if c.Data = in.Data; in.Data != nil {
		if b, err := json.Marshal(in.Data); err != nil || len(b) > workflow.MaxDataSize {
			return c, belfry.Beyond("input.data", workflow.MaxDataSize, "bytes of JSON")
		}
	}
	return c, nil
}

// plainBody is a text that is no template.
func plainBody(text string, format model.BodyFormat) (*belfry.Body, error) {
	if len(text) > template.MaxMarkdown {
		return nil, belfry.Beyond("input.body", template.MaxMarkdown, "bytes")
	}
	if err := belfry.ValidateText(text, "input.body"); err != nil {
		return nil, err
	}
	if format == model.BodyFormatText {
		return &belfry.Body{Format: belfry.TextBody, Content: text, Rendered: text}, nil
	}
	html, err := template.Markdown(text)
	if err != nil {
		return nil, belfry.Errorf(belfry.Invalid, "%v", err).At("input.body")
	}
	return &belfry.Body{Format: belfry.MarkdownBody, Content: text, Rendered: html}, nil
}

func safeURL(s, field string) (string, error) {
	url, ok := template.SafeURL(s)
	if !ok || url == "" {
		return "", belfry.Errorf(belfry.Invalid, "give an http, https or mailto URL, or a path that begins with '/'").At("%s", field)
	}
	return url, belfry.ValidateText(url, field)
}

// keepPolicy reads how much feeds keep.
func keepPolicy(in *model.SetFeedRetentionInput) (keep feed.KeepPolicy, err error) {
	if d := in.MaxAge; d != nil {
		if err := d.Validate("input.maxAge"); err != nil {
			return keep, err
		}
		if d.Unit == calendar.Months {
			return keep, belfry.Errorf(belfry.Invalid, "months differ in length: give weeks or days").At("input.maxAge")
		}
		start := time.Unix(0, 0)
		keep.MaxAge = d.After(start, time.UTC).Sub(start)
	}
	if in.MaxItems != nil {
		if keep.MaxItems = *in.MaxItems; keep.MaxItems == 0 {
			keep.MaxItems = -1 // nothing isn't everything
		}
	}
	return keep, nil
}

// newRetention is what feeds keep as the API shows it.
func newRetention(channel string, keep feed.KeepPolicy) model.FeedRetention {
	out := model.FeedRetention{Channel: channel}
	if keep.MaxAge > 0 {
		age := calendar.Duration{Unit: calendar.Seconds, Value: int(keep.MaxAge / time.Second)}
		if days := int(keep.MaxAge / (24 * time.Hour)); time.Duration(days)*24*time.Hour == keep.MaxAge {
			age = calendar.Duration{Unit: calendar.Days, Value: days}
		}
		out.MaxAge = &age
	}
	if keep.MaxItems > 0 {
		out.MaxItems = &keep.MaxItems
	}
	return out
}
