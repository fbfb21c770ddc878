/** Every limit of the server; the unit is at the end of the name. `/info` shows those that clients can reach. */
export const limits = {
  /** Data and metadata of one event together. */
  event_bytes_max: 4 * 1024 * 1024,
  /** A request body after decompression. A streamed write is limited by line and batch instead. */
  body_bytes_max: 32 * 1024 * 1024,
  /** White space between two events of a body of lines: an import sends lines that it leaves out as empty ones. */
  blank_bytes_max: 64 * 1024 * 1024,
  /** Events in one atomic batch. */
  batch_events_max: 4096,
  /** The same in the Atom dialect, whose clients know no limit but that of a body. Events have no tags there. */
  dialect_batch_events_max: 16_384,
  /** A stream's name in UTF-8, without the `$$` of its metadata and the prefix of an index stream. */
  stream_name_bytes_max: 1024,
  /** An event type in UTF-8. */
  type_bytes_max: 256,
  /** An event type in the Atom dialect, whose clients know no limit but that of a header. */
  dialect_type_bytes_max: 4096,
  tags_max: 32,
  tag_bytes_max: 256,
  idempotency_key_chars_max: 255,
  /** Nesting of arrays and objects in JSON. */
  json_depth_max: 512,
  /**
   * An XML body of the Atom dialect: its size, its tags and attributes together, its namespaces, the nesting of its
   * elements.
   */
  xml_body_bytes_max: 8 * 1024 * 1024,
  xml_marks_max: 100_000,
  xml_namespaces_max: 100,
  xml_depth_max: 128,
  /** Elements and attributes of a response in XML. An event with more cannot be shown as XML. */
  xml_nodes_max: 100_000,
  /** Data that is indented in a feed; larger data is shown as it is stored. */
  laid_out_bytes_max: 256 * 1024,
  /** Stream metadata written through the native API. */
  metadata_bytes_max: 64 * 1024,
  /** The shortest time for which metadata of the audit can let its events be shown. */
  audit_shown_ms_min: 24 * 60 * 60 * 1000,
  /** A member of a JSON body, other than the data of an event, that is parsed; the conditions of an append. */
  json_value_bytes_max: 64 * 1024,
  conditions_bytes_max: 4 * 1024 * 1024,
  conditions_max: 1000,
  /** Items of all failIfEventsMatch conditions of one append together. */
  match_items_max: 1000,
  /** Types and tags in all of these items together. */
  match_names_max: 10_000,
  /** Up to so many events, and no more than names, such conditions compare events; above it they search index lists. */
  match_compared_max: 1000,

  page_events_default: 100,
  page_events_max: 4096,
  /** The `Link` header of a page: proxies take headers of 4 KiB in all, the fewest of them more. */
  link_header_bytes_max: 2048,
  /** The `Location` of a redirect, which repeats the query. */
  location_bytes_max: 4096,
  /** A page ends when it has grown to this size. */
  page_bytes_max: 8 * 1024 * 1024,
  /** Events that a filtered page looks at before it returns what it has found. */
  scan_events_max: 16_384,
  /** Index streams of which it is remembered whether they hold anything for one viewer. */
  lists_known_max: 1000,
  /** Names in one page of /streams, /categories and /types. */
  listing_names_max: 1000,
  /** All regular expressions of one read together: characters, and instructions that they compile to. */
  expression_chars_max: 1000,
  expression_size_max: 1000,
  /**
   * Work is counted in steps: a character of a name costs an expression as many as it has instructions, and 64. A hundred
   * take about a microsecond, at worst two. So much is done in one turn of the event loop, by all reads together…
   */
  turn_steps_max: 200_000,
  /** …and for one page, which ends where they are used up. */
  page_steps_max: 100_000_000,
  /** Compiled expressions that are kept, their instructions together. */
  expressions_cached_size_max: 20_000,
  /** States of one expression that are kept. More would make expressions that need many slower, not faster. */
  expression_states_bytes_max: 32 * 1024,
  /** What expressions have answered for names. A server's memory budget says how much. */
  expression_answers_bytes_default: 8 * 1024 * 1024,
  /** Instructions of all different expressions that live reads follow the log with, and 64 for each. */
  followed_size_max: 100_000,
  /** Records that wait to be matched with the expressions of live reads; more are read from the log again. */
  followed_wait_bytes_max: 8 * 1024 * 1024,
  /** Values of one filter parameter. */
  filter_values_max: 100,
  wait_seconds_max: 60,
  /** Records that a page of the filtered log looks at in the Atom dialect (reference 12.4). */
  dialect_filter_window: 1000,
  /** The longest long poll of the Atom dialect. */
  long_poll_seconds_max: 3600,
  /** Events of `missed` in a refused append. */
  missed_events_max: 10,

  /**
   * Live reads: credit that a client may grant at once, events in one frame, events passed over before a checkpoint.
   */
  credit_max: 1_000_000_000,
  batch_frame_events_max: 1000,
  checkpoint_every_default: 1000,
  /** Live events that wait for a slow client before its subscription falls behind and reads the log again. */
  live_buffer_events_default: 500,
  live_buffer_bytes_max: 1024 * 1024,
  /** Bytes that wait in one connection before sending pauses. */
  connection_buffer_bytes_max: 256 * 1024,
  /** A connection is full for so long: the events that were read for it are dropped, and read again later. */
  buffer_release_ms: 1_000,
  /** A connection that takes no bytes for so long is closed. */
  drain_ms: 30_000,
  /** The same while others wait for the memory of its answer. */
  drain_wanted_ms: 2_000,
  /** What a client takes of its answer within that time, at least. */
  drain_bytes_min: 64 * 1024,
  /** A client has so long to read the closing message before its connection is cut. */
  close_linger_ms: 5_000,
  /**
   * A client that has ended its side of a connection may be gone, or wait for its answer: what its request waits for, and
   * work that has found nothing, ends after so long.
   */
  half_closed_ms: 10_000,
  /**
   * Requests that wait for the one before them: a connection brings no more beyond these, for `request_timeout_ms` at
   * most…
   */
  pipelined_requests_max: 16,
  /** …and of all connections together, where one that has some waiting already is closed. */
  pipelined_requests_all_max: 4_096,
  /** Of a request that was refused before its body was read, so much of the body is read and dropped. */
  dropped_body_bytes_max: 64 * 1024 * 1024,
  /** How soon an EventSource comes back: each stream is given a time between these. */
  live_retry_ms_min: 1_000,
  live_retry_ms_max: 3_000,
  /** The same after an event stream was refused because it could not be served then. */
  refused_retry_ms_min: 1_000,
  refused_retry_ms_max: 5_000,
  /** A live read that comes before the store is open is held for so long. */
  early_live_ms: 10_000,
  heartbeat_seconds_default: 15,
  /** How often subscriptions are checked for due heartbeats, checkpoints, redeliveries and timeouts. */
  tick_ms: 250,
  /** The shortest time between checkpoints to a subscription whose filter passes events over. */
  checkpoint_told_ms: 1_000,
  /** A frame that a client sends over a WebSocket. */
  client_frame_bytes_max: 16 * 1024,
  subscriptions_max: 10_000,
  /** Subscriptions that one WebSocket carries beside its own, and the client's name for one. */
  socket_subscriptions_max: 100,
  sub_chars_max: 64,
  consumers_max: 1000,
  /** Consumers of one owner, and consumers without an owner. */
  consumers_of_one_max: 500,
  consumer_name_chars_max: 200,

  login_bytes_max: 256,
  password_bytes_max: 1024,
  /** A request body about an account, a token or a ticket. */
  small_body_bytes_max: 64 * 1024,
  /** Tokens of one account, streams of one token, and the lifetime of a ticket. */
  tokens_max: 1000,
  token_streams_max: 100,
  ticket_seconds_default: 60,
  ticket_seconds_max: 600,
  /** Passwords that are hashed at the same time, and requests that wait for that. */
  hashes_at_once: 2,
  hashes_waiting_max: 64,
  /** How long correct credentials are cached, and how many. */
  credential_known_ms: 5 * 60_000,
  credentials_known_max: 10_000,
  /** Sign-ins that may fail from one address: in a burst, and per minute. */
  sign_in_failures_burst: 100,
  sign_in_failures_a_minute: 10,
  jwks_timeout_ms: 5_000,
  /** The keys of an identity provider are fetched again after so long… */
  jwks_known_ms: 600_000,
  /** …and earlier for a token whose key is unknown, but at most this often. */
  jwks_again_ms: 30_000,
  /** Client addresses for which requests are counted. */
  addresses_counted_max: 10_000,

  /** Appends that wait for the writer; more are answered 503. Their bytes are a share of the memory budget. */
  append_queue_max: 10_000,
  /**
   * A commit takes waiting appends until it is this large; a larger append is committed alone. Its work is that of the
   * events, their tags and ids, the conditions, and the types and tags in these.
   */
  commit_bytes_max: 4 * 1024 * 1024,
  commit_work_max: 8192,

  /** The memory budget (`--memory`): what requests and caches may hold together above the idle process. */
  memory_bytes_min: 64 * 1024 * 1024,
  memory_bytes_default_max: 512 * 1024 * 1024,
  /** What an idle process takes, about. */
  memory_idle_bytes: 160 * 1024 * 1024,
  /** Bodies and answers up to this size are not counted. */
  memory_small_bytes: 64 * 1024,
  /** What an ordinary read holds, and a large one: a page of 8 MiB, the records that it is made of, and its text. */
  read_bytes: 2 * 1024 * 1024,
  large_read_bytes: 44 * 1024 * 1024,
  /** What a transfer reads at once, so that it needs no memory of a share while its events are small. */
  transfer_bytes: 512 * 1024,
  /** What a transfer or a live read of large events holds: the records that it reads ahead, and their text. */
  large_transfer_bytes: 20 * 1024 * 1024,
  /** A request waits so long for memory, and so many may wait. */
  memory_wait_ms: 10_000,
  memory_waiting_max: 1_000,

  /** Heads (stream, category, type) kept in memory. */
  heads_cached_max: 50_000,
  /** Events that the log holds under ids which are sent again: so many bytes of them are compared in one commit. */
  known_bytes_max: 96 * 1024 * 1024,
  /** Heads that are loaded together; far fewer than are cached. */
  heads_loaded_max: 10_000,
  /** Streams with metadata or a tombstone: names kept in memory, and states kept in memory. */
  states_named_max: 200_000,
  states_cached_max: 20_000,
  /** Changed index entries kept in memory before they are written. */
  index_pending_max: 20_000,
  /** Events that the index may be behind the log on disk; a start after a crash replays them. */
  index_behind_events_max: 20_000,
  /**
   * Former identities of a log that are remembered. Places and cursors of older ones are treated as of an unrelated
   * log.
   */
  ancestors_max: 100,
  /** Disagreements of one kind that `daybook verify` names; the others are counted. */
  disagreements_shown_max: 100,
  /** Events at the end of the index that are compared with the log at start. */
  index_checked_events: 2000,
  /** The largest memtable of LevelDB, for the log and the index each. It limits how much is replayed at start. */
  write_buffer_bytes: 16 * 1024 * 1024,

  /** Tables of each database, the newest first, that every start checks before LevelDB reads them. */
  tables_checked_at_start_bytes: 64 * 1024 * 1024,
  /** How fast tables are checked while the store is open. */
  tables_checked_bytes_a_second: 8 * 1024 * 1024,
  /** All tables are checked again after so long. */
  tables_checked_again_ms: 7 * 24 * 3_600_000,

  /** Space reserved for opening the databases again on a full disk. */
  ballast_bytes: 32 * 1024 * 1024,
  /**
   * Free space at which a read-only store accepts writes again: for the ballast, the write-ahead logs and new events.
   */
  free_bytes_min: 96 * 1024 * 1024,

  /** How far a `created` time from outside may be ahead of the clock. */
  clock_ahead_ms_max: 0,
  /** How far the clock may be behind the last event before the server warns. */
  clock_behind_ms_max: 10_000,
  request_timeout_ms: 60_000,
  headers_timeout_ms: 20_000,
  /** Memory that is reckoned for a request in flight: a small body and a small answer, which no share counts. */
  request_bytes: 128 * 1024,
  /** Memory that is reckoned for a connection; the budget divided by it limits connections. */
  connection_bytes: 32 * 1024,
  /** File descriptors beside those of connections and of LevelDB's tables: write-ahead logs, locks, the event loop. */
  descriptors_reserved: 64,
  /** A server does not start with room for fewer connections, and warns of fewer than these. */
  connections_min: 32,
  connections_warned: 1_000,
  /** A connection that has asked for nothing for so long is the first to be closed when there are too many. */
  silent_connection_ms: 1_000,
  /** Connections over the limit of their address that wait for their first request, and how long. */
  refused_connections_max: 100,
  refused_connection_ms: 1_000,
  url_bytes_max: 12_288,
  stop_deadline_ms: 10_000
} as const
