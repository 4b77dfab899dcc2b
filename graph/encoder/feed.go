package encoder

import (
	"fmt"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/graph/model"
)

// Reader reads what items refer to, as whoever subscribed may see it.
type Reader interface {
	Actors(*model.FeedItem) ([]model.User, error)
	Tenant(*model.FeedItem) (*string, error)
}

// item is an item, and how to read what it refers to.
type item struct {
	model.FeedItem
	reader Reader
}

// upserted is the event with such an item.
type upserted struct {
	position string
	badge    belfry.Badge
	item     item
	asOf     string
}

var badge = object[belfry.Badge]{[]string{"Badge"}, map[string]field[belfry.Badge]{
	"total":  pure(func(b []byte, v *belfry.Badge) []byte { return appendInt(b, v.Total) }),
	"unseen": pure(func(b []byte, v *belfry.Badge) []byte { return appendInt(b, v.Unseen) }),
	"unread": pure(func(b []byte, v *belfry.Badge) []byte { return appendInt(b, v.Unread) }),
}}

var (
	itemUpserted = object[upserted]{[]string{"FeedItemUpserted", "FeedEvent"}, map[string]field[upserted]{
		"position": pure(func(b []byte, e *upserted) []byte { return appendString(b, e.position) }),
		"badge":    one(&badge, func(e *upserted) *belfry.Badge { return &e.badge }),
		"item":     one(&feedItem, func(e *upserted) *item { return &e.item }),
		"asOf":     pure(func(b []byte, e *upserted) []byte { return appendString(b, e.asOf) }),
	}}
	itemsPatched = object[model.FeedItemsPatched]{[]string{"FeedItemsPatched", "FeedEvent"}, map[string]field[model.FeedItemsPatched]{
		"position": pure(func(b []byte, e *model.FeedItemsPatched) []byte { return appendString(b, e.Position) }),
		"badge":    one(&badge, func(e *model.FeedItemsPatched) *belfry.Badge { return &e.Badge }),
		"ids":      pure(func(b []byte, e *model.FeedItemsPatched) []byte { return appendStrings(b, e.Ids) }),
		"as":       leaf(func(b []byte, e *model.FeedItemsPatched) ([]byte, error) { return appendMark(b, e.As) }),
		"at":       pure(func(b []byte, e *model.FeedItemsPatched) []byte { return appendTime(b, &e.At) }),
	}}
	itemsRemoved = object[model.FeedItemsRemoved]{[]string{"FeedItemsRemoved", "FeedEvent"}, map[string]field[model.FeedItemsRemoved]{
		"position": pure(func(b []byte, e *model.FeedItemsRemoved) []byte { return appendString(b, e.Position) }),
		"badge":    one(&badge, func(e *model.FeedItemsRemoved) *belfry.Badge { return &e.Badge }),
		"ids":      pure(func(b []byte, e *model.FeedItemsRemoved) []byte { return appendStrings(b, e.Ids) }),
		"upTo":     pure(func(b []byte, e *model.FeedItemsRemoved) []byte { return appendOptional(b, e.UpTo) }),
		"reason":   pure(func(b []byte, e *model.FeedItemsRemoved) []byte { return strconv.AppendQuote(b, e.Reason.String()) }),
	}}
	markedAll = object[model.FeedMarkedAll]{[]string{"FeedMarkedAll", "FeedEvent"}, map[string]field[model.FeedMarkedAll]{
		"position": pure(func(b []byte, e *model.FeedMarkedAll) []byte { return appendString(b, e.Position) }),
		"badge":    one(&badge, func(e *model.FeedMarkedAll) *belfry.Badge { return &e.Badge }),
		"as":       leaf(func(b []byte, e *model.FeedMarkedAll) ([]byte, error) { return appendMark(b, e.As) }),
		"upTo":     pure(func(b []byte, e *model.FeedMarkedAll) []byte { return appendString(b, e.UpTo) }),
		"at":       pure(func(b []byte, e *model.FeedMarkedAll) []byte { return appendTime(b, &e.At) }),
	}}
	synced = object[model.FeedSynced]{[]string{"FeedSynced", "FeedEvent"}, map[string]field[model.FeedSynced]{
		"position": pure(func(b []byte, e *model.FeedSynced) []byte { return appendString(b, e.Position) }),
		"badge":    one(&badge, func(e *model.FeedSynced) *belfry.Badge { return &e.Badge }),
	}}
	reset = object[model.FeedReset]{[]string{"FeedReset", "FeedEvent"}, map[string]field[model.FeedReset]{
		"position": pure(func(b []byte, e *model.FeedReset) []byte { return appendString(b, e.Position) }),
		"badge":    one(&badge, func(e *model.FeedReset) *belfry.Badge { return &e.Badge }),
		"reason":   pure(func(b []byte, e *model.FeedReset) []byte { return strconv.AppendQuote(b, e.Reason.String()) }),
	}}
)

var feedItem = object[item]{[]string{"FeedItem", "Node"}, map[string]field[item]{
	"id":              pure(func(b []byte, i *item) []byte { return appendString(b, i.ID()) }),
	"channel":         pure(func(b []byte, i *item) []byte { return appendString(b, i.Channel()) }),
	"position":        pure(func(b []byte, i *item) []byte { return appendString(b, i.Position()) }),
	"blocks":          blocks,
	"actionUrl":       pure(func(b []byte, i *item) []byte { return appendOptional(b, i.ActionURL()) }),
	"data":            leaf(func(b []byte, i *item) ([]byte, error) { return appendJSON(b, i.Data()) }),
	"actors":          actors,
	"totalActivities": pure(func(b []byte, i *item) []byte { return appendInt(b, i.TotalActivities) }),
	"tenant":          tenant,
	"workflow":        pure(func(b []byte, i *item) []byte { return appendString(b, i.Workflow) }),
	"stepRef":         pure(func(b []byte, i *item) []byte { return appendString(b, i.StepRef) }),
	"categories":      pure(func(b []byte, i *item) []byte { return appendStrings(b, i.Categories) }),
	"resourceKey":     pure(func(b []byte, i *item) []byte { return appendOptional(b, i.ResourceKey()) }),
	"priority":        leaf(func(b []byte, i *item) ([]byte, error) { return appendPriority(b, i.Priority()) }),
	"severity":        leaf(func(b []byte, i *item) ([]byte, error) { return appendSeverity(b, i.Severity()) }),
	"expiresAt":       pure(func(b []byte, i *item) []byte { return appendTime(b, i.ExpiresAt()) }),
	"createdAt":       pure(func(b []byte, i *item) []byte { return appendTime(b, &i.CreatedAt) }),
	"seenAt":          pure(func(b []byte, i *item) []byte { return appendTime(b, i.SeenAt()) }),
	"readAt":          pure(func(b []byte, i *item) []byte { return appendTime(b, i.ReadAt()) }),
	"interactedAt":    pure(func(b []byte, i *item) []byte { return appendTime(b, i.InteractedAt()) }),
	"archivedAt":      pure(func(b []byte, i *item) []byte { return appendTime(b, i.ArchivedAt()) }),
	"pinnedAt":        pure(func(b []byte, i *item) []byte { return appendTime(b, i.PinnedAt()) }),
	"snoozedUntil":    pure(func(b []byte, i *item) []byte { return appendTime(b, i.SnoozedUntil()) }),
}}

var (
	textBlock = object[model.TextBlock]{[]string{"TextBlock", "Block"}, map[string]field[model.TextBlock]{
		"name":     pure(func(b []byte, v *model.TextBlock) []byte { return appendString(b, v.Name) }),
		"content":  pure(func(b []byte, v *model.TextBlock) []byte { return appendString(b, v.Content) }),
		"rendered": pure(func(b []byte, v *model.TextBlock) []byte { return appendString(b, v.Rendered) }),
	}}
	markdownBlock = object[model.MarkdownBlock]{[]string{"MarkdownBlock", "Block"}, map[string]field[model.MarkdownBlock]{
		"name":     pure(func(b []byte, v *model.MarkdownBlock) []byte { return appendString(b, v.Name) }),
		"content":  pure(func(b []byte, v *model.MarkdownBlock) []byte { return appendString(b, v.Content) }),
		"rendered": pure(func(b []byte, v *model.MarkdownBlock) []byte { return appendString(b, v.Rendered) }),
	}}
	buttonSetBlock = object[model.ButtonSetBlock]{[]string{"ButtonSetBlock", "Block"}, map[string]field[model.ButtonSetBlock]{
		"name":    pure(func(b []byte, v *model.ButtonSetBlock) []byte { return appendString(b, v.Name) }),
		"buttons": buttons,
	}}
	button = object[belfry.Button]{[]string{"Button"}, map[string]field[belfry.Button]{
		"label":  pure(func(b []byte, v *belfry.Button) []byte { return appendString(b, v.Label) }),
		"action": pure(func(b []byte, v *belfry.Button) []byte { return appendString(b, v.Action) }),
	}}
)

// user has those fields that NewUser and NewStranger fill in: the others are read by resolvers.
var user = object[model.User]{[]string{"User", "Recipient", "Node"}, map[string]field[model.User]{
	"id":          pure(func(b []byte, u *model.User) []byte { return appendString(b, u.ID) }),
	"externalId":  pure(func(b []byte, u *model.User) []byte { return appendString(b, u.ExternalID) }),
	"name":        pure(func(b []byte, u *model.User) []byte { return appendOptional(b, u.Name) }),
	"email":       pure(func(b []byte, u *model.User) []byte { return appendOptional(b, u.Email) }),
	"phoneNumber": pure(func(b []byte, u *model.User) []byte { return appendOptional(b, u.PhoneNumber) }),
	"avatar":      pure(func(b []byte, u *model.User) []byte { return appendOptional(b, u.Avatar) }),
	"locale":      pure(func(b []byte, u *model.User) []byte { return appendOptional(b, u.Locale) }),
	"timezone":    pure(func(b []byte, u *model.User) []byte { return appendOptional(b, u.Timezone) }),
	"properties":  leaf(func(b []byte, u *model.User) ([]byte, error) { return appendProperties(b, u.Properties) }),
	"createdAt":   pure(func(b []byte, u *model.User) []byte { return appendTime(b, &u.CreatedAt) }),
	"updatedAt":   pure(func(b []byte, u *model.User) []byte { return appendTime(b, &u.UpdatedAt) }),
}}

func blocks(c *compiler, selected ast.SelectionSet) value[item] {
	text, markdown, buttons := compile(c, &textBlock, selected), compile(c, &markdownBlock, selected), compile(c, &buttonSetBlock, selected)
	if text == nil || markdown == nil || buttons == nil {
		return nil
	}
	of := func(b []byte, block *model.Block) ([]byte, error) {
		switch block := (*block).(type) {
		case model.TextBlock:
			return text(b, &block)
		case model.MarkdownBlock:
			return markdown(b, &block)
		case model.ButtonSetBlock:
			return buttons(b, &block)
		}
		return b, fmt.Errorf("encoder: no table for %T", *block)
	}
	return func(b []byte, i *item) ([]byte, error) { return list(b, i.Blocks(), of) }
}

func buttons(c *compiler, selected ast.SelectionSet) value[model.ButtonSetBlock] {
	of := compile(c, &button, selected)
	if of == nil {
		return nil
	}
	return func(b []byte, v *model.ButtonSetBlock) ([]byte, error) { return list(b, v.Buttons, of) }
}

func actors(c *compiler, selected ast.SelectionSet) value[item] {
	c.personal = true
	of := compile(c, &user, selected)
	if of == nil {
		return nil
	}
	return func(b []byte, i *item) ([]byte, error) {
		users, err := i.reader.Actors(&i.FeedItem)
		if err != nil {
			return b, err
		}
		return list(b, users, of)
	}
}

func tenant(*compiler, ast.SelectionSet) value[item] {
	return func(b []byte, i *item) ([]byte, error) {
		name, err := i.reader.Tenant(&i.FeedItem)
		return appendOptional(b, name), err
	}
}

// marks are those that gqlgen knows by name. Of another it would make something that no client should rely on.
var marks = map[belfry.Mark]string{belfry.Seen: `"SEEN"`, belfry.Unseen: `"UNSEEN"`, belfry.Read: `"READ"`, belfry.Unread: `"UNREAD"`,
	belfry.Interacted: `"INTERACTED"`, belfry.Archived: `"ARCHIVED"`, belfry.Unarchived: `"UNARCHIVED"`,
	belfry.Pinned: `"PINNED"`, belfry.Unpinned: `"UNPINNED"`}

// Likewise, what items may be.
var (
	priorities = map[belfry.Priority]string{belfry.LowPriority: `"LOW"`, belfry.NormalPriority: `"NORMAL"`, belfry.HighPriority: `"HIGH"`, belfry.UrgentPriority: `"URGENT"`}
	severities = map[belfry.Severity]string{belfry.InfoSeverity: `"INFO"`, belfry.SuccessSeverity: `"SUCCESS"`, belfry.WarningSeverity: `"WARNING"`, belfry.ErrorSeverity: `"ERROR"`}
)

func appendPriority(b []byte, p belfry.Priority) ([]byte, error) {
	name, known := priorities[p]
	if !known {
		return b, fmt.Errorf("encoder: no priority %v", p)
	}
	return append(b, name...), nil
}

func appendSeverity(b []byte, s *belfry.Severity) ([]byte, error) {
	if s == nil {
		return append(b, "null"...), nil
	}
	name, known := severities[*s]
	if !known {
		return b, fmt.Errorf("encoder: no severity %v", *s)
	}
	return append(b, name...), nil
}

func appendMark(b []byte, m belfry.Mark) ([]byte, error) {
	name, known := marks[m]
	if !known {
		return b, fmt.Errorf("encoder: no mark %v", m)
	}
	return append(b, name...), nil
}

// appendProperties appends an object that may not be null.
func appendProperties(b []byte, v map[string]any) ([]byte, error) {
	if v == nil {
		return b, fmt.Errorf("encoder: null for what may not be null")
	}
	return appendJSON(b, v)
}
