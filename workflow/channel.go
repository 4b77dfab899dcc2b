package workflow

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/calendar"
	"github.com/belfryhq/belfry/workflow/template"
)

// MaxDataSize bounds the data of a message, as written and as rendered, in bytes of JSON.
const MaxDataSize = 64 << 10

// InApp puts a message into the recipient's feed. Its strings are Liquid templates, like those of all channel steps.
type InApp struct {
	Channel   string         `json:"channel"`
	Body      string         `json:"body"`
	Format    Format         `json:"format"`
	ActionURL string         `json:"actionUrl,omitempty"`
	Buttons   []Button       `json:"buttons,omitempty"`
	Data      map[string]any `json:"data,omitempty"` // strings in it are templates, at any depth
	// ResourceKey is what the message is about; a template.
	ResourceKey string          `json:"resourceKey,omitempty"`
	Priority    belfry.Priority `json:"priority,omitempty"`
	Severity    belfry.Severity `json:"severity,omitempty"`
	// ExpiresAfter is how long it stays in the feed. Not in months.
	ExpiresAfter *calendar.Duration `json:"expiresAfter,omitempty"`
	// Replaces archives older messages of the same ResourceKey in the feed.
	Replaces bool `json:"replaces,omitempty"`
}

// Email sends to the recipient's email.
type Email struct {
	Channel string `json:"channel"`
	Subject string `json:"subject"`
	Body    string `json:"body"`
	Format  Format `json:"format"`
}

// SMS sends to the recipient's phone_number.
type SMS struct {
	Channel string `json:"channel"`
	Body    string `json:"body"`
}

// Push sends to the recipient's devices.
type Push struct {
	Channel   string         `json:"channel"`
	Title     string         `json:"title,omitempty"`
	Body      string         `json:"body"`
	ActionURL string         `json:"actionUrl,omitempty"`
	Data      map[string]any `json:"data,omitempty"`
}

// Chat sends to the recipient's chat connections.
type Chat struct {
	Channel string         `json:"channel"`
	Body    string         `json:"body"`
	Data    map[string]any `json:"data,omitempty"` // what the provider calls blocks, cards or embeds
}

// Webhook makes a request. It needs no data of the recipient.
type Webhook struct {
	Channel string   `json:"channel"`
	Method  string   `json:"method,omitempty"` // default POST
	URL     string   `json:"url"`
	Headers []Header `json:"headers,omitempty"`
	Body    string   `json:"body,omitempty"`
}

// Button is a call to action.
type Button struct {
	Label  string `json:"label"`
	Action string `json:"action"`
}

// Format says how a body is to be read. Spelled as in GraphQL.
type Format string

const (
	Text     Format = "TEXT"
	Markdown Format = "MARKDOWN"
)

// MessageTemplate is a compiled channel step.
type MessageTemplate struct {
	Type    belfry.ChannelType
	Channel string
	Windows calendar.Windows // nil: any time
	// SharedBody is set if the body is the same for all recipients of a trigger: no template in it mentions the recipient or
	// what only one run knows. SharedRest says so of everything else.
	SharedBody, SharedRest bool
	// Links is set if a template may name a link to the recipient's preferences.
	Links bool

	format    Format
	body      *template.Template
	subject   *template.Template // nil if there is none, like all below
	actionURL *template.Template
	buttons   []buttonTemplate
	data      map[string]any // leaves may be *template.Template
	request   *RequestTemplate
	item      *itemTemplate
}

type buttonTemplate struct{ label, action *template.Template }

// channelSteps compiles the channel step that s has; false if it has none.
func (c *compiler) channelStep(path string, s *Step) bool {
	c.personal, c.linked = false, false
	var t *MessageTemplate
	switch {
	case s.InApp != nil:
		t = c.inApp(path+".inApp", s.InApp)
	case s.Email != nil:
		t = c.email(path+".email", s.Email)
	case s.SMS != nil:
		t = c.message(path+".sms", belfry.SMS, s.SMS.Channel, s.SMS.Body, Text)
	case s.Push != nil:
		t = c.push(path+".push", s.Push)
	case s.Chat != nil:
		t = c.message(path+".chat", belfry.Chat, s.Chat.Channel, s.Chat.Body, Text)
		t.data = c.messageData(path+".chat.data", s.Chat.Data)
	case s.Webhook != nil:
		w := s.Webhook
		t = &MessageTemplate{Type: belfry.Webhook, Channel: c.channelKey(path+".webhook.channel", w.Channel)}
		method := w.Method
		if method == "" {
			method = http.MethodPost
		}
		t.request = c.request(path+".webhook", method, w.URL, w.Headers, nil, w.Body)
	default:
		return false
	}
	t.SharedRest, t.Links = !c.personal, c.linked
	c.program.Reach = c.program.Reach || t.Type.NeedsData()
	if len(s.SendWindows) > 0 {
		for _, err := range s.SendWindows.Validate(path + ".sendWindows") {
			c.problem(path+".sendWindows", err)
		}
		t.Windows = s.SendWindows
	}
	c.emit(Op{Kind: OpSend, Step: s.Ref, Message: t})
	c.program.Sends = true
	c.program.Mails = c.program.Mails || t.Type == belfry.Email
	return true
}

func (c *compiler) channelKey(path, key string) string {
	if err := belfry.ValidateKey(key, "channel"); err != nil {
		c.problem(path, err)
	}
	return key
}

// message compiles what most channels have: a key and a body.
func (c *compiler) message(path string, kind belfry.ChannelType, channel, body string, format Format) *MessageTemplate {
	t := &MessageTemplate{Type: kind, Channel: c.channelKey(path+".channel", channel), format: format}
	if strings.TrimSpace(body) == "" {
		c.problemf(path+".body", "must not be empty")
	}
	switch format {
	case Text:
		t.body = c.template(path+".body", body, template.Text)
	case Markdown:
		t.body = c.template(path+".body", body, template.HTML)
	default:
		c.problemf(path+".format", "must be TEXT or MARKDOWN")
	}
	t.SharedBody, c.personal = !c.personal, false
	return t
}

func (c *compiler) inApp(path string, in *InApp) *MessageTemplate {
	t := c.message(path, belfry.InApp, in.Channel, in.Body, in.Format)
	if in.ActionURL != "" {
		t.actionURL = c.url(path+".actionUrl", in.ActionURL)
	}
	if len(in.Buttons) > MaxButtons {
		c.problemf(path+".buttons", "at most %d buttons are allowed", MaxButtons)
	}
	for i, b := range in.Buttons {
		at := fmt.Sprintf("%s.buttons[%d]", path, i)
		if strings.TrimSpace(b.Label) == "" {
			c.problemf(at+".label", "must not be empty")
		}
		t.buttons = append(t.buttons, buttonTemplate{
			label:  c.template(at+".label", b.Label, template.Text),
			action: c.url(at+".action", b.Action),
		})
	}
	t.data = c.messageData(path+".data", in.Data)
	t.item = c.itemOptions(path, in)
	return t
}

func (c *compiler) email(path string, in *Email) *MessageTemplate {
	t := c.message(path, belfry.Email, in.Channel, in.Body, in.Format)
	if strings.TrimSpace(in.Subject) == "" {
		c.problemf(path+".subject", "must not be empty")
	}
	t.subject = c.template(path+".subject", in.Subject, template.Text)
	return t
}

func (c *compiler) push(path string, in *Push) *MessageTemplate {
	t := c.message(path, belfry.Push, in.Channel, in.Body, Text)
	if in.Title != "" {
		t.subject = c.template(path+".title", in.Title, template.Text)
	}
	if in.ActionURL != "" {
		t.actionURL = c.url(path+".actionUrl", in.ActionURL)
	}
	t.data = c.messageData(path+".data", in.Data)
	return t
}

func (c *compiler) messageData(path string, data map[string]any) map[string]any {
	if data == nil {
		return nil
	}
	return c.object(path, data)
}

// Rendered is a filled-in message.
type Rendered struct {
	Content  belfry.Content
	Warnings []string // what was left out, and why
	Size     int      // about how many bytes Content takes
}

// Render fills in the message. Links that turn out unsafe or empty are left out rather than failing the message; the
// warnings say which.
func (t *MessageTemplate) Render(ctx context.Context, scope map[string]any) (Rendered, error) {
	body, err := t.RenderBody(ctx, scope)
	if err != nil {
		return body, err
	}
	rest, err := t.RenderRest(ctx, scope)
	return rest.With(body), err
}

// RenderBody fills in the body alone.
func (t *MessageTemplate) RenderBody(ctx context.Context, scope map[string]any) (out Rendered, err error) {
	if t.body == nil {
		return out, nil
	}
	if out.Content.Body, err = t.renderBody(ctx, scope); err != nil {
		return out, fmt.Errorf("body: %w", err)
	}
	out.Size = len(out.Content.Body.Content) + len(out.Content.Body.Rendered)
	return out, nil
}

// With is what RenderRest returned, with the body that RenderBody did.
func (out Rendered) With(body Rendered) Rendered {
	out.Content.Body = body.Content.Body
	out.Size += body.Size
	return out
}

// RenderRest fills in everything but the body.
func (t *MessageTemplate) RenderRest(ctx context.Context, scope map[string]any) (out Rendered, err error) {
	content := &out.Content
	if t.subject != nil {
		if content.Subject, err = t.subject.Render(ctx, scope); err != nil {
			return out, fmt.Errorf("subject: %w", err)
		}
		content.Subject = strings.Join(strings.Fields(content.Subject), " ") // a line break would end a header
	}
	if t.actionURL != nil {
		if content.ActionURL, err = out.renderURL(ctx, t.actionURL, scope, "actionUrl"); err != nil {
			return out, err
		}
	}
	if err := out.renderButtons(ctx, t.buttons, scope); err != nil {
		return out, err
	}
	if t.request != nil {
		if content.Request, err = t.request.Render(ctx, scope); err != nil {
			return out, err
		}
		out.Size += len(content.Request.Body)
	}
	if t.item != nil {
		if err := out.renderItem(ctx, t.item, scope); err != nil {
			return out, err
		}
	}
	out.Size += len(content.ActionURL) + len(content.Subject)
	if t.data != nil {
		data, size, err := fillObject(ctx, t.data, scope)
		if err != nil {
			return out, fmt.Errorf("data: %w", err)
		}
		content.Data = data
		out.Size += size
	}
	return out, nil
}

func (out *Rendered) renderButtons(ctx context.Context, buttons []buttonTemplate, scope map[string]any) error {
	for i, b := range buttons {
		at := fmt.Sprintf("buttons[%d]", i)
		label, err := b.label.Render(ctx, scope)
		if err != nil {
			return fmt.Errorf("%s.label: %w", at, err)
		}
		action, err := out.renderURL(ctx, b.action, scope, at+".action")
		if err != nil {
			return err
		}
		if action != "" {
			out.Content.Buttons = append(out.Content.Buttons, belfry.Button{Label: label, Action: action})
			out.Size += len(label) + len(action)
		}
	}
	return nil
}

func (t *MessageTemplate) renderBody(ctx context.Context, scope map[string]any) (belfry.Body, error) {
	if t.format == Text {
		content, err := t.body.Render(ctx, scope)
		return belfry.Body{Format: belfry.TextBody, Content: content, Rendered: content}, err
	}
	content, html, err := t.body.RenderMarkdown(ctx, scope)
	return belfry.Body{Format: belfry.MarkdownBody, Content: content, Rendered: html}, err
}

// renderURL returns "" with a warning for a link that must not be followed.
func (out *Rendered) renderURL(ctx context.Context, t *template.Template, scope map[string]any, path string) (string, error) {
	s, err := t.Render(ctx, scope)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	s = strings.TrimSpace(s)
	url, ok := template.SafeURL(s)
	if !ok {
		out.Warnings = append(out.Warnings, fmt.Sprintf("%s: left out, %.100q is not a safe URL", path, s))
		return "", nil
	}
	return url, nil
}

// Keys of vars that the system sets, whatever an environment has under these names.
const (
	ManagePreferencesURL     = "manage_preferences_url"     // of the recipient's page of preferences
	CommercialUnsubscribeURL = "commercial_unsubscribe_url" // of commercial workflows only
	BrandingVariable         = "branding"                   // of the tenant
)

// personalRoots are what only one run of a trigger knows.
var personalRoots = []string{"recipient", "refs", "activities", "total_activities", "actors", "total_actors", "current_message", "event"}
