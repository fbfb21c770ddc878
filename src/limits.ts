/** Every bound of the store by name, unit last. `/info` shows those a client can meet. */
export const limits = {
  /** Data and metadata of one event together. */
  event_bytes_max: 4 * 1024 * 1024,
  /** A request body after decompression. A streamed write is bounded by line and batch instead. */
  body_bytes_max: 32 * 1024 * 1024,
  /** Events in one atomic batch. */
  batch_events_max: 4096,
  /** A stream's name in UTF-8. */
  stream_name_bytes_max: 1024,
  /** An event type in UTF-8. */
  type_bytes_max: 256,
  /** An event type in the Atom dialect, whose clients know no bound but that of a header. */
  dialect_type_bytes_max: 4096,
  tags_max: 32,
  tag_bytes_max: 256,
  idempotency_key_chars_max: 255,
  /** Nesting of arrays and objects in JSON. */
  json_depth_max: 512,
  /** An XML body of the Atom dialect: its size, its tags and attributes together, how deep its elements are nested. */
  xml_body_bytes_max: 8 * 1024 * 1024,
  xml_marks_max: 100_000,
  xml_namespaces_max: 100,
  xml_depth_max: 128,
  /** Elements and attributes that an answer in XML may have; more have no form there. */
  xml_nodes_max: 100_000,
  /** Data that is laid out on several lines in a feed; what is larger stays as it is. */
  laid_out_bytes_max: 256 * 1024,
  /** Stream metadata as it is written natively. */
  metadata_bytes_max: 64 * 1024,
  /** A member of a body that is taken apart, and is no data of an event; the conditions of an append. */
  json_value_bytes_max: 64 * 1024,
  conditions_bytes_max: 4 * 1024 * 1024,
  conditions_max: 1000,
  /** Items of all failIfEventsMatch conditions of one append together. */
  match_items_max: 1000,
  /** Types and tags that these name together. */
  match_names_max: 10_000,
  /** Events times names up to which such conditions look at events rather than at lists. */
  match_compared_max: 10_000_000,

  page_events_default: 100,
  page_events_max: 4096,
  /** A page ends when it has grown to this size. */
  page_bytes_max: 8 * 1024 * 1024,
  /** A page of the Atom dialect, which cannot be cut short, is refused when its events have more than this. */
  slice_bytes_max: 96 * 1024 * 1024,
  /** How many events a filtered page looks at before it answers with what it has. */
  scan_events_max: 16_384,
  /** Names in one page of /streams, /categories and /types. */
  listing_names_max: 1000,
  /** All expressions of one read together: counted repetitions such as a{9}, and how high each counts. */
  expression_chars_max: 1000,
  expression_repetitions_max: 10,
  expression_repetition_count_max: 100,
  /** Values of one filter parameter. */
  filter_values_max: 100,
  wait_seconds_max: 60,
  /** Records that a page of the filtered log looks at in the Atom dialect (reference 12.4). */
  dialect_filter_window: 1000,
  /** A long poll of the Atom dialect is held no longer. */
  long_poll_seconds_max: 3600,
  /** Events of `missed` in a refused append. */
  missed_events_max: 10,

  /** Live reading: events that a client may grant at once, events in one frame, events passed over before it is told. */
  credit_max: 1_000_000_000,
  batch_frame_events_max: 1000,
  checkpoint_every_default: 1000,
  /** Live events that wait for a slow reader before it goes back to the log. */
  live_buffer_events_default: 500,
  live_buffer_bytes_max: 1024 * 1024,
  /** Bytes that wait in one connection before nothing more is sent into it. */
  connection_buffer_bytes_max: 256 * 1024,
  /** What was read for a connection that is full for so long is read again later. */
  buffer_release_ms: 1_000,
  /** A connection that takes nothing for so long is closed. */
  drain_ms: 30_000,
  /** How long a closed connection may take to read why. */
  close_linger_ms: 5_000,
  heartbeat_seconds_default: 15,
  /** How often connections are looked at: heartbeats, checkpoints, what is overdue. */
  tick_ms: 250,
  /** A reader whose filter passes everything over is told so at most this often. */
  checkpoint_told_ms: 1_000,
  /** A frame that a client sends over a WebSocket. */
  client_frame_bytes_max: 16 * 1024,
  subscriptions_max: 10_000,
  consumers_max: 1000,
  /** Consumers of one owner, and of all who have not signed in. */
  consumers_of_one_max: 500,
  consumer_name_chars_max: 200,

  login_bytes_max: 256,
  password_bytes_max: 1024,
  /** A body that says something of an account, a token or a ticket. */
  small_body_bytes_max: 64 * 1024,
  /** Tokens of one account, streams that one token names, and the time that a ticket can be used. */
  tokens_max: 1000,
  token_streams_max: 100,
  ticket_seconds_default: 60,
  ticket_seconds_max: 600,
  /** Passwords that are hashed at once, and that wait for it. */
  hashes_at_once: 2,
  hashes_waiting_max: 64,
  /** How long, and how many, credentials that were right are remembered. */
  credential_known_ms: 5 * 60_000,
  credentials_known_max: 10_000,
  /** Sign-ins that may fail from one address: at once, and as time goes on. */
  sign_in_failures_burst: 100,
  sign_in_failures_a_minute: 10,
  jwks_timeout_ms: 5_000,
  /** Keys of a provider are fetched again after so long… */
  jwks_known_ms: 600_000,
  /** …and for a token whose key is not among them, at most so often. */
  jwks_again_ms: 30_000,
  /** Addresses whose requests are counted. */
  addresses_counted_max: 10_000,

  /** Appends waiting for the writer; more get 503. */
  append_queue_max: 10_000,
  append_queue_bytes_max: 128 * 1024 * 1024,
  /** One synced batch takes waiting appends until it is this large; a single larger append goes alone. */
  commit_bytes_max: 4 * 1024 * 1024,
  commit_events_max: 8192,

  /** Heads (stream, category, type) kept in memory. */
  heads_cached_max: 50_000,
  /** Heads that are brought into memory together, far fewer than stay there. */
  heads_loaded_max: 10_000,
  /** Streams with metadata or a tombstone whose names are in memory, and whose state is. */
  states_named_max: 200_000,
  states_cached_max: 20_000,
  states_cached_bytes_max: 64 * 1024 * 1024,
  /** Changed index entries kept in memory before they must be written. */
  index_pending_max: 20_000,
  /** Events the index may be behind the log on disk: what a start after a crash has to replay. */
  index_behind_events_max: 20_000,
  /** Identities that a log had before its end was lost, as many as are remembered; older ones are strangers. */
  ancestors_max: 100,
  /** Events at the index's end that are compared with the log at start. */
  index_checked_events: 2000,
  /** The last records written, kept in memory. */
  records_recent_bytes_max: 8 * 1024 * 1024,
  /** Rendered single events kept in memory. */
  events_cached_bytes_max: 16 * 1024 * 1024,
  /** Rendered pages kept in memory. */
  pages_cached_bytes_max: 24 * 1024 * 1024,
  /** LevelDB's memtable of each of the two databases: bounds the log scan at start. */
  write_buffer_bytes: 16 * 1024 * 1024,

  /** Space kept aside for opening the databases again on a full disk. */
  ballast_bytes: 32 * 1024 * 1024,
  /** Free space at which a store that stands still goes on: ballast, write-ahead logs, and something to write into. */
  free_bytes_min: 96 * 1024 * 1024,

  /** A `created` time from outside may be this far ahead of our clock. */
  clock_ahead_ms_max: 0,
  /** The clock may be this far behind the last event before that is warned of. */
  clock_behind_ms_max: 10_000,
  request_timeout_ms: 60_000,
  headers_timeout_ms: 20_000,
  /** Delay of the event loop above which requests are refused. */
  event_loop_delay_ms: 5_000,
  url_bytes_max: 12_288,
  stop_deadline_ms: 10_000
} as const
