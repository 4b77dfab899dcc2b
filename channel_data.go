package belfry

import "time"

// ChannelData is where a recipient is reached on one channel, when a property isn't enough: exactly one of its shapes.
type ChannelData struct {
	Channel   string       `json:"-"` // key
	Push      *PushData    `json:"push,omitempty"`
	Slack     *SlackData   `json:"slack,omitempty"`
	MSTeams   *MSTeamsData `json:"ms_teams,omitempty"`
	Discord   *DiscordData `json:"discord,omitempty"`
	UpdatedAt time.Time    `json:"-"`
}

// Type is the kind of channel that the data are for; empty if they have no shape.
func (d *ChannelData) Type() ChannelType {
	switch {
	case d.Push != nil:
		return Push
	case d.Slack != nil, d.MSTeams != nil, d.Discord != nil:
		return Chat
	}
	return ""
}

// Destinations is how many devices or connections there are.
func (d *ChannelData) Destinations() int {
	n := 0
	if d.Push != nil {
		n += len(d.Push.Devices)
	}
	if d.Slack != nil {
		n += len(d.Slack.Connections)
	}
	if d.MSTeams != nil {
		n += len(d.MSTeams.Connections)
	}
	if d.Discord != nil {
		n += len(d.Discord.Connections)
	}
	return n
}

// PushData is somebody's devices.
type PushData struct {
	Devices []PushDevice `json:"devices"`
}

// PushDevice is an installation of an app.
type PushDevice struct {
	Token    string `json:"token"`              // the provider's name for it: a token, an endpoint's ARN, a player id
	Locale   string `json:"locale,omitempty"`   // language tag
	Timezone string `json:"timezone,omitempty"` // IANA name
}

// SlackData is where somebody is in Slack.
type SlackData struct {
	AccessToken string            `json:"access_token,omitempty"` // of connections that have none of their own
	Connections []SlackConnection `json:"connections"`
}

// SlackConnection is a channel or a person in a workspace, or a webhook.
type SlackConnection struct {
	AccessToken string `json:"access_token,omitempty"`
	ChannelID   string `json:"channel_id,omitempty"`
	ChannelName string `json:"channel_name,omitempty"`
	UserID      string `json:"user_id,omitempty"`
	WebhookURL  string `json:"webhook_url,omitempty"` // incoming; a secret
}

// MSTeamsData is where somebody is in Microsoft Teams.
type MSTeamsData struct {
	TenantID    string              `json:"tenant_id,omitempty"` // Microsoft's, of connections that have none of their own
	Connections []MSTeamsConnection `json:"connections"`
}

// MSTeamsConnection is a channel or a person, or a webhook.
type MSTeamsConnection struct {
	TenantID   string `json:"tenant_id,omitempty"`
	TeamID     string `json:"team_id,omitempty"`
	ChannelID  string `json:"channel_id,omitempty"`
	UserID     string `json:"user_id,omitempty"`
	WebhookURL string `json:"webhook_url,omitempty"` // incoming; a secret
}

// DiscordData is where somebody is in Discord.
type DiscordData struct {
	Connections []DiscordConnection `json:"connections"`
}

// DiscordConnection is a channel, or a webhook.
type DiscordConnection struct {
	ChannelID  string `json:"channel_id,omitempty"`
	WebhookURL string `json:"webhook_url,omitempty"` // incoming; a secret
}

// HasAccessToken says of a secret only that it is there; likewise the others.
func (d SlackData) HasAccessToken() bool { return d.AccessToken != "" }

// HasAccessToken reports whether the connection has a token of its own.
func (c SlackConnection) HasAccessToken() bool { return c.AccessToken != "" }

// HasWebhook reports whether messages go to an incoming webhook.
func (c SlackConnection) HasWebhook() bool { return c.WebhookURL != "" }

// HasWebhook reports whether messages go to an incoming webhook.
func (c MSTeamsConnection) HasWebhook() bool { return c.WebhookURL != "" }

// HasWebhook reports whether messages go to an incoming webhook.
func (c DiscordConnection) HasWebhook() bool { return c.WebhookURL != "" }
