/** All limits of the server. The name ends with the unit. `/info` shows those that clients can reach. */
export const limits = {
  /** Data and metadata of one event together. */
  event_bytes_max: 4 * 1024 * 1024,
  /** A request body after decompression. A streamed write is limited by line and batch instead. */
  body_bytes_max: 32 * 1024 * 1024,
  /**
   * White space between two events of a body of lines. An import sends an empty line for each line that it leaves out.
   */
  blank_bytes_max: 64 * 1024 * 1024,
  /** Events in one atomic batch. */
  batch_events_max: 4096,
  /** The same in the Atom dialect, whose clients know only the limit of a body. Events have no tags there. */
  dialect_batch_events_max: 16_384,
  /** A stream name in UTF-8, without the `$$` of its metastream and without the prefix of an index stream. */
  stream_name_bytes_max: 1024,
  /** An event type in UTF-8. */
  type_bytes_max: 256,
  /** An event type in the Atom dialect, whose clients know only the limit of a header. */
  dialect_type_bytes_max: 4096,
  tags_max: 32,
  tag_bytes_max: 256,
  idempotency_key_chars_max: 255,
  /** Nesting of arrays and objects in JSON. */
  json_depth_max: 512,
  /** An XML body of the Atom dialect: its size, the sum of its tags and attributes, its namespaces, and its nesting. */
  xml_body_bytes_max: 8 * 1024 * 1024,
  xml_marks_max: 100_000,
  xml_namespaces_max: 100,
  xml_depth_max: 128,
  /** Elements and attributes of an XML response. An event with more cannot be shown as XML. */
  xml_nodes_max: 100_000,
  /** Data up to this size is indented in a feed. Larger data is shown as it is stored. */
  laid_out_bytes_max: 256 * 1024,
  /** Stream metadata written through the native API. */
  metadata_bytes_max: 64 * 1024,
  /** The shortest `maxAge` allowed in the metadata of the audit stream. */
  audit_shown_ms_min: 24 * 60 * 60 * 1000,
  /** A parsed member of a JSON body. The data of an event is not parsed and has its own limit. */
  json_value_bytes_max: 64 * 1024,
  /** The conditions of an append. */
  conditions_bytes_max: 4 * 1024 * 1024,
  conditions_max: 1000,
  /** Items of all failIfEventsMatch conditions of one append together. */
  match_items_max: 1000,
  /** Types and tags in all of these items together. */
  match_names_max: 10_000,
  /**
   * Such conditions compare single events up to this number, if they have at least as many names. Otherwise they search
   * index lists.
   */
  match_compared_max: 1000,

  page_events_default: 100,
  page_events_max: 4096,
  /** The `Link` header of a page. Proxies accept 4 KiB of headers in total; only a few accept more. */
  link_header_bytes_max: 2048,
  /** The `Location` of a redirect, which repeats the query. */
  location_bytes_max: 4096,
  /** A page ends when it has grown to this size. */
  page_bytes_max: 8 * 1024 * 1024,
  /** Records that a filtered page examines before it ends. */
  scan_events_max: 16_384,
  /** Index streams per viewer for which it is cached whether they contain an event for the viewer. */
  lists_cached_max: 1000,
  /** Names in one page of /streams, /categories and /types. */
  listing_names_max: 1000,
  /** All regular expressions of one read together: characters, and instructions that they compile to. */
  expression_chars_max: 1000,
  expression_size_max: 1000,
  /**
   * Work is counted in steps: each character of a name costs an expression its number of instructions plus 64. 100
   * steps take about a microsecond, at worst two. This limit is for one turn of the event loop, for all reads together.
   */
  turn_steps_max: 200_000,
  /** Steps for one page. The page ends when they are used up. */
  page_steps_max: 100_000_000,
  /** Cached compiled expressions: the sum of their instructions, plus 64 for each. */
  expressions_cached_size_max: 20_000,
  /** Cache of the automaton states of one expression. A larger cache slows down expressions that need many states. */
  expression_states_bytes_max: 32 * 1024,
  /** Cached answers of expressions for names. On a server the memory budget determines the size. */
  expression_answers_bytes_default: 8 * 1024 * 1024,
  /** Instructions of all different expressions of live reads, plus 64 for each expression. */
  followed_size_max: 100_000,
  /** Records queued for the expressions of live reads. Beyond this, records are read from the log again. */
  followed_wait_bytes_max: 8 * 1024 * 1024,
  /** Values of one filter parameter. */
  filter_values_max: 100,
  wait_seconds_max: 60,
  /** Records that a page of the filtered log examines in the Atom dialect (reference 12.4). */
  dialect_filter_window: 1000,
  /** The longest long poll of the Atom dialect. */
  long_poll_seconds_max: 3600,
  /** Events in `missed` of a rejected append. */
  missed_events_max: 10,

  /** Live reads: credit that a client may grant at once. */
  credit_max: 1_000_000_000,
  /** Live reads: events in one frame. */
  batch_frame_events_max: 1000,
  /** Live reads: events excluded by the filter before a checkpoint is sent. */
  checkpoint_every_default: 1000,
  /** Live events that wait for a slow client before its subscription falls behind and reads the log again. */
  live_buffer_events_default: 500,
  live_buffer_bytes_max: 1024 * 1024,
  /** Unsent bytes in one connection before sending pauses. */
  connection_buffer_bytes_max: 256 * 1024,
  /** When a connection has been full for this time, its buffered events are dropped and read again later. */
  buffer_release_ms: 1_000,
  /** A connection that accepts no bytes for this time is closed. */
  drain_ms: 30_000,
  /** The same while other requests wait for the memory of its response. */
  drain_wanted_ms: 2_000,
  /** Minimum bytes of a response that a client must accept within that time. */
  drain_bytes_min: 64 * 1024,
  /** Time for a client to read the closing message before its connection is cut. */
  close_linger_ms: 5_000,
  /**
   * A client that has closed its side of a connection may be gone, or may wait for its response. Waiting requests and
   * searches without a result end after this time.
   */
  half_closed_ms: 10_000,
  /**
   * Queued requests of one connection behind the current one. Beyond this, the connection is not read, for
   * `request_timeout_ms` at most.
   */
  pipelined_requests_max: 16,
  /** Queued requests of all connections together. Beyond this, a connection with queued requests is closed. */
  pipelined_requests_all_max: 4_096,
  /** Bytes that are read and dropped of the body of a request that was rejected before its body was read. */
  dropped_body_bytes_max: 64 * 1024 * 1024,
  /** Reconnect delay of an EventSource. Each stream gets a random time between these. */
  live_retry_ms_min: 1_000,
  live_retry_ms_max: 3_000,
  /** The same after an event stream was rejected because of a temporary condition. */
  refused_retry_ms_min: 1_000,
  refused_retry_ms_max: 5_000,
  /** How long a live read is held that arrives before the store is open. */
  early_live_ms: 10_000,
  heartbeat_seconds_default: 15,
  /** Interval of the checks for due heartbeats, checkpoints, redeliveries and time-outs of subscriptions. */
  tick_ms: 250,
  /** Minimum time between checkpoints of a subscription whose filter excludes events. */
  checkpoint_interval_ms: 1_000,
  /** A WebSocket frame from a client. */
  client_frame_bytes_max: 16 * 1024,
  subscriptions_max: 10_000,
  /** Subscriptions of one WebSocket in addition to its own. */
  socket_subscriptions_max: 100,
  /** The client's name for such a subscription. */
  sub_chars_max: 64,
  consumers_max: 1000,
  /** Consumers of one owner. Consumers without an owner count as those of one owner. */
  consumers_of_one_max: 500,
  consumer_name_chars_max: 200,

  login_bytes_max: 256,
  password_bytes_max: 1024,
  /** A request body about an account, a token or a ticket. */
  small_body_bytes_max: 64 * 1024,
  /** Tokens of one account. */
  tokens_max: 1000,
  /** Streams of one token. */
  token_streams_max: 100,
  /** Lifetime of a ticket. */
  ticket_seconds_default: 60,
  ticket_seconds_max: 600,
  /** Passwords hashed at the same time. */
  hashes_at_once: 2,
  /** Requests that wait for a password hash. */
  hashes_waiting_max: 64,
  /** How long valid credentials are cached. */
  credential_cache_ms: 5 * 60_000,
  /** Number of cached credentials. */
  credentials_cached_max: 10_000,
  /** Failed sign-ins allowed from one address: in a burst, and per minute. */
  sign_in_failures_burst: 100,
  sign_in_failures_a_minute: 10,
  jwks_timeout_ms: 5_000,
  /** The keys of an identity provider are fetched again after this time. */
  jwks_cache_ms: 600_000,
  /** Minimum time between fetches because of a token whose key is unknown. */
  jwks_refetch_ms_min: 30_000,
  /** Client addresses whose request rate is tracked at the same time. */
  addresses_counted_max: 10_000,

  /**
   * Appends that wait for the writer. Further appends are answered 503. Their bytes are limited by the memory budget.
   */
  append_queue_max: 10_000,
  /**
   * A commit takes waiting appends until it reaches one of these. An append that exceeds one is committed alone. The
   * work of a commit is the number of its events, tags, ids and conditions, and of the types and tags in the
   * conditions.
   */
  commit_bytes_max: 4 * 1024 * 1024,
  commit_work_max: 8192,

  /** The memory budget (`--memory`): bytes for requests and caches, in addition to the idle process. */
  memory_bytes_min: 64 * 1024 * 1024,
  memory_bytes_default_max: 512 * 1024 * 1024,
  /** Approximate memory of an idle process. */
  memory_idle_bytes: 160 * 1024 * 1024,
  /** Bodies and responses up to this size are not counted. */
  memory_small_bytes: 64 * 1024,
  /** Reservation of an ordinary read. */
  read_bytes: 2 * 1024 * 1024,
  /** Reservation of a large read: a page of 8 MiB, the records that it is built from, and its text. */
  large_read_bytes: 44 * 1024 * 1024,
  /** Bytes that a transfer reads at a time. It needs no reservation while its events are small. */
  transfer_bytes: 512 * 1024,
  /** Reservation of a transfer or live read of large events: the records that it reads ahead, and their text. */
  large_transfer_bytes: 20 * 1024 * 1024,
  /** How long a request waits for memory. */
  memory_wait_ms: 10_000,
  /** Requests that wait for memory of one share. */
  memory_waiting_max: 1_000,

  /** Heads (of streams, categories and types) cached in memory. */
  heads_cached_max: 50_000,
  /** Stored events that are compared in one commit because their ids are sent again, bytes. */
  known_bytes_max: 96 * 1024 * 1024,
  /** Heads that are loaded together. Far fewer than are cached. */
  heads_loaded_max: 10_000,
  /** Streams with metadata or a tombstone: names kept in memory. */
  states_named_max: 200_000,
  /** Streams with metadata or a tombstone: cached states. */
  states_cached_max: 20_000,
  /** Changed index entries kept in memory until they are written. */
  index_pending_max: 20_000,
  /** Events that the index on disk may be behind the log. A start after a crash replays them. */
  index_behind_events_max: 20_000,
  /**
   * Former identities of a log that are kept. Positions and cursors from older identities are treated as from an
   * unrelated log.
   */
  ancestors_max: 100,
  /** Disagreements of each kind that `daybook verify` lists. Further ones are only counted. */
  disagreements_shown_max: 100,
  /** Events at the end of the index that are compared with the log at start. */
  index_checked_events: 2000,
  /** Maximum memtable of LevelDB, for the log and the index each. It limits how much is replayed at start. */
  write_buffer_bytes: 16 * 1024 * 1024,

  /** Tables of each database, newest first, that every start checks before LevelDB reads them. */
  tables_checked_at_start_bytes: 64 * 1024 * 1024,
  /** Rate at which tables are checked while the store is open. */
  tables_checked_bytes_a_second: 8 * 1024 * 1024,
  /** All tables are checked again after this time. */
  tables_checked_again_ms: 7 * 24 * 3_600_000,

  /** Disk space reserved for reopening the databases on a full disk. */
  ballast_bytes: 32 * 1024 * 1024,
  /**
   * Free space at which a read-only store accepts writes again: for the ballast, the write-ahead logs and new events.
   */
  free_bytes_min: 96 * 1024 * 1024,

  /** How far an externally given `created` time may be ahead of the clock. */
  clock_ahead_ms_max: 0,
  /** How far the clock may be behind the last event before the server warns. */
  clock_behind_ms_max: 10_000,
  request_timeout_ms: 60_000,
  headers_timeout_ms: 20_000,
  /** Estimated memory of a request in flight: a small body and a small response, which no share counts. */
  request_bytes: 128 * 1024,
  /** Estimated memory of a connection. The budget divided by it limits connections. */
  connection_bytes: 32 * 1024,
  /** File descriptors besides those of connections and LevelDB tables: write-ahead logs, locks, the event loop. */
  descriptors_reserved: 64,
  /** A server does not start when it has room for fewer connections. */
  connections_min: 32,
  /** A server warns when it has room for fewer connections. */
  connections_warned: 1_000,
  /** When there are too many connections, those without a request for this time are closed first. */
  silent_connection_ms: 1_000,
  /** Connections over the limit of their address that may wait for their first request. */
  refused_connections_max: 100,
  /** How long such a connection may wait. */
  refused_connection_ms: 1_000,
  url_bytes_max: 12_288,
  stop_deadline_ms: 10_000
} as const
