package realtime

// Channel is what a topic is called in Redis.
var Channel = channel
