package preference

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// choices is the preference page.
type choices struct {
	For   string // name of the tenant; empty: none
	Saved bool
	Rows  []row
}

// row is a topic with what can be switched.
type row struct {
	Field    string // name of its checkboxes
	Was      string // values of those that are checked, as the page shows them
	Label    string
	Hint     string
	Switches []toggle
	Fixed    []fixed
}

type toggle struct {
	Value, Label string
	On           bool
}

// fixed is what the reader can't change, and why.
type fixed struct{ Channels, State, Why string }

// channelNames are what people call channel types, in the order in which they are shown. Webhooks are no matter of people's.
var channelNames = []struct {
	channelType belfry.ChannelType
	name        string
}{{belfry.InApp, "In the app"}, {belfry.Email, "Email"}, {belfry.SMS, "Text message"}, {belfry.Push, "Push"}, {belfry.Chat, "Chat"}}

const (
	wasPrefix       = "was:"
	commercialValue = "on"
)

// preferences shows the page, and takes its form.
func (h *handler) preferences(w http.ResponseWriter, r *http.Request, token string) (*view, error) {
	link, err := h.open(r, token, false)
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodPost {
		if err := form(w, r, maxChoicesBody); err != nil {
			return nil, err
		}
	}
	var rows []recipient.PreferenceRow
	err = h.inTurn(r, func() (err error) {
		if rows, err = h.rows(r, link); err != nil || r.Method != http.MethodPost {
			return err
		}
		if wishes := wishesOf(rows, r.PostForm); len(wishes) > 0 {
			err = h.Recipients.Choose(r.Context(), link, wishes)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodPost {
		w.Header().Set("Location", "?saved=1") // relative: a proxy may have added a prefix
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.WriteHeader(http.StatusSeeOther)
		return nil, nil
	}
	content := choices{Saved: r.URL.Query().Has("saved")}
	v := &view{Title: "Your notifications", Brand: brandOf(link.For), name: "choices"}
	content.For = v.Brand.Name
	for i := range rows {
		if shown := newRow(&rows[i], content.For); len(shown.Switches)+len(shown.Fixed) > 0 {
			content.Rows = append(content.Rows, shown)
		}
	}
	v.Content = content
	return v, nil
}

// open reads the link, which has to be for this page.
func (h *handler) open(r *http.Request, token string, unsubscribes bool) (link *recipient.OpenedLink, err error) {
	err = h.inTurn(r, func() (err error) {
		link, err = h.Recipients.OpenLink(r.Context(), token)
		return err
	})
	if err == nil && link.Purpose.Unsubscribes() != unsubscribes {
		err = belfry.Errorf(belfry.NotFound, "the link is for another page")
	}
	return link, err
}

// rows are what the reader may choose, as preferenceCenter has it, and always advertising.
func (h *handler) rows(r *http.Request, link *recipient.OpenedLink) ([]recipient.PreferenceRow, error) {
	sets, err := h.Recipients.Center(r.Context(), link)
	if err != nil {
		return nil, err
	}
	workflows, err := h.Workflows(r.Context(), link.Environment)
	if err != nil {
		return nil, err
	}
	rows := sets.Rows(nil, workflows)
	if !slices.ContainsFunc(rows, func(r recipient.PreferenceRow) bool { return r.Rule == belfry.CommercialRule }) {
		rows = append(rows, sets.Rows([]recipient.PreferenceTopic{{Rule: belfry.CommercialRule}}, workflows)...)
	}
	return rows, nil
}

// fieldOf names the checkboxes of a row. It is of the topic, not of its place: rows may have changed when the form comes back. It is
// short, however long the key is.
func fieldOf(t recipient.PreferenceTopic) string {
	sum := sha256.Sum256([]byte(string(t.Rule) + ":" + t.Key))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

func newRow(in *recipient.PreferenceRow, sender string) row {
	out := row{Field: fieldOf(in.PreferenceTopic), Label: in.Label}
	if in.Rule == belfry.CommercialRule {
		out.Hint = "Advertising. Messages about your account and your orders still come."
		out.Switches = []toggle{{commercialValue, "Send me these", in.On}}
		if in.Conditional {
			out.Hint += " At the moment a rule decides for each message; off is off."
		}
		if in.On {
			out.Was = commercialValue
		}
		return out
	}
	if in.Rule == belfry.ChannelRule {
		out.Hint = "What is off here is off everywhere below."
	}
	var was []string
	for _, c := range channelNames {
		i := slices.IndexFunc(in.Toggles, func(t recipient.PreferenceToggle) bool { return t.Type == c.channelType && t.Used })
		if i < 0 {
			continue
		}
		t := &in.Toggles[i]
		if t.ReadOnly() {
			out.fix(c.name, t.PreferenceChoice, sender)
			continue
		}
		out.Switches = append(out.Switches, toggle{string(t.Type), c.name, t.On})
		if t.On {
			was = append(was, string(t.Type))
		}
	}
	out.Was = strings.Join(was, ",")
	return out
}

// fix adds a channel that can't be changed to those for which the same holds.
func (r *row) fix(channel string, c recipient.PreferenceChoice, sender string) {
	if sender == "" {
		sender = "the sender"
	}
	f := fixed{channel, "Sometimes", "a rule decides for each message"}
	switch {
	case c.Outranked && c.Conditional:
		f.Why = "a rule of " + sender + " decides for each message"
	case c.Outranked:
		f.Why = "set by " + sender
		if f.State = "Off"; c.On {
			f.State = "On"
		}
	}
	for i := range r.Fixed {
		if same := &r.Fixed[i]; same.State == f.State && same.Why == f.Why {
			same.Channels += ", " + strings.ToLower(channel[:1]) + channel[1:]
			return
		}
	}
	r.Fixed = append(r.Fixed, f)
}

// wishesOf is what the reader changed. Fields of rows that there are no more, or that can't be changed, mean nothing.
func wishesOf(rows []recipient.PreferenceRow, form url.Values) (wishes []recipient.PreferenceWish) {
	for i := range rows {
		in := &rows[i]
		field := fieldOf(in.PreferenceTopic)
		if !form.Has(wasPrefix + field) {
			continue
		}
		before := strings.Split(form.Get(wasPrefix+field), ",")
		for _, s := range newRow(in, "").Switches {
			on := slices.Contains(form[field], s.Value)
			if on == slices.Contains(before, s.Value) {
				continue
			}
			wish := recipient.PreferenceWish{Rule: in.Rule, Key: in.Key, On: on}
			if in.Rule != belfry.CommercialRule {
				wish.ChannelType = belfry.ChannelType(s.Value)
			}
			wishes = append(wishes, wish)
		}
	}
	return wishes
}
