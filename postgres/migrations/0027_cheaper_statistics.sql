-- Owner: feed, engine, analytics. What no plan asks for isn't analysed: most of what autovacuum's ANALYZE took was taking these apart.
-- +goose Up
ALTER TABLE feed_items ALTER content SET STATISTICS 0, ALTER categories SET STATISTICS 0, ALTER actor_ids SET STATISTICS 0;
ALTER TABLE runs ALTER log SET STATISTICS 0, ALTER state SET STATISTICS 0;
ALTER TABLE triggers ALTER data SET STATISTICS 0, ALTER overlays SET STATISTICS 0, ALTER recipient_ids SET STATISTICS 0;
ALTER TABLE events ALTER recipient_ids SET STATISTICS 0, ALTER user_ids SET STATISTICS 0, ALTER seqs SET STATISTICS 0;
