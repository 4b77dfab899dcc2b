package belfry

// ChannelType is the medium of a channel.
type ChannelType string

const (
	InApp   ChannelType = "in_app" // the feed inside the customer's own product
	Email   ChannelType = "email"
	SMS     ChannelType = "sms"
	Push    ChannelType = "push"
	Chat    ChannelType = "chat"
	Webhook ChannelType = "webhook" // a request to a URL of the workflow's author
)

// NeedsData reports whether recipients are reached by their channel data on channels of the type: a property isn't enough.
func (t ChannelType) NeedsData() bool { return t == Push || t == Chat }

// DefaultFeed is the key of the in-app channel that every environment has.
const DefaultFeed = "in-app"

// MaxKeyLength bounds the keys of workflows, channels and steps, in characters.
const MaxKeyLength = 255

// ValidateKey checks a key that people choose: 1 to 255 characters of a-z, 0-9, "_" and "-".
func ValidateKey(key, field string) error {
	if key == "" {
		return Errorf(Invalid, "a key is required").At("%s", field)
	}
	if len(key) > MaxKeyLength {
		return Beyond(field, MaxKeyLength, "characters")
	}
	for _, c := range []byte(key) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return Errorf(Invalid, "a key is made of a-z, 0-9, '_' and '-'").At("%s", field)
		}
	}
	return nil
}
