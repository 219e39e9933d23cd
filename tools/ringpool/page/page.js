// SPDX-License-Identifier: MIT
'use strict';
(() => {
  const POLL_MS = 1000;
  const TAIL_S = 10;        // quantiles of a histogram are of the last seconds
  const TIMEOUT_MS = 3000;
  const GAP_S = 3;          // a longer pause between two answers breaks a line
  const HISTORY_S = 180;
  const NOTICE_S = 60;      // how long a restart is told of
  const DASH = '–';
  const MARKS = { ok: '✓', warn: '▲', bad: '✖', gone: '?', none: '…' };
  const COLOURS = { ok: '#1a9a5a', warn: '#e0a100', bad: '#d6281f', gone: '#6b7480', none: '#6b7480' };

  const find = (id) => document.getElementById(id);
  const known = (value) => typeof value === 'number' && Number.isFinite(value);

  // --- figures ---

  const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
  const count = (value) => (known(value) ? grouped.format(value) : DASH);
  function scaled(value, step, units) {  // three digits
    if (!known(value)) return DASH;
    let unit = 0;
    while (unit + 1 < units.length && value >= step * 0.9995) { value /= step; unit += 1; }
    const digits = unit === 0 && Number.isInteger(value) ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return value.toFixed(digits) + (units[unit] ? '\u00a0' + units[unit] : '');
  }
  const si = (value) => scaled(value > 0 && value < 0.05 ? 0.1 : Math.round(value * 10) / 10, 1000, ['', 'k', 'M', 'G']);
  const perSecond = (value) => (known(value) ? si(value) + (value >= 999.5 ? '' : '\u00a0') + '/s' : DASH);
  const bytes = (value) => scaled(Math.round(value * 10) / 10, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
  const micros = (value) => scaled(value, 1000, ['µs', 'ms', 's']);
  const clock = (date) => date.toLocaleTimeString('en-GB');
  function duration(seconds) {
    if (!known(seconds)) return DASH;
    const whole = Math.floor(seconds);
    const pair = (n) => String(n).padStart(2, '0');
    const days = Math.floor(whole / 86400);
    return (days ? days + ' d ' : '') + Math.floor(whole / 3600) % 24 + ':' + pair(Math.floor(whole / 60) % 60) + ':' + pair(whole % 60);
  }

  // --- elements: built once, then given new texts ---

  function element(tag, parent, className) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (parent) parent.append(made);
    return made;
  }
  function write(where, text) { if (where.textContent !== text) where.textContent = text; }

  function sparkline(parent, label) {
    const space = 'http://www.w3.org/2000/svg';
    const svg = document.createElementNS(space, 'svg');
    svg.setAttribute('viewBox', `0 0 ${HISTORY_S} 32`);
    svg.setAttribute('preserveAspectRatio', 'none');
    svg.setAttribute('role', 'img');
    const area = document.createElementNS(space, 'path');
    const line = document.createElementNS(space, 'path');
    area.setAttribute('class', 'area');
    svg.append(area, line);
    parent.append(svg);
    return (points, most, told) => {  // points: [seconds ago, value]
      let top = '', filled = '', from = null, last = null;
      const close = () => { if (from !== null) filled += `L${last} 32L${from} 32Z`; };
      let before = null;
      for (const [ago, value] of points) {
        if (!known(value)) continue;
        const x = (HISTORY_S - ago).toFixed(1), at = `${x} ${(31 - 30 * Math.min(1, most > 0 ? value / most : 0)).toFixed(1)}`;
        const joined = before !== null && before - ago <= GAP_S;
        if (!joined) { close(); from = x; }
        top += (joined ? 'L' : 'M') + at;
        filled += (joined ? 'L' : 'M') + at;
        before = ago;
        last = x;
      }
      close();
      line.setAttribute('d', top);
      area.setAttribute('d', filled);
      svg.setAttribute('aria-label', `${label}, last 3 minutes: ${told}`);
    };
  }

  const TILES = [
    { name: 'Frames', key: 'frames', value: (v) => perSecond(v.frames), top: perSecond, more: (s) => count(s.frames) + ' in all' },
    { name: 'Payload', key: 'bytes', value: (v) => known(v.bytes) ? bytes(v.bytes) + '/s' : DASH,
      top: (x) => bytes(x) + '/s', more: (s) => bytes(s.bytes) + ' in all' },
    { name: 'Connections open', key: 'open', value: (v) => count(v.open), top: count,
      more: (s, v) => `${count(s.connections?.idle)} idle, ${perSecond(v.accepted)} accepted` },
    { name: 'Service time, 99th percentile', key: 'p99', value: (v) => micros(v.p99), top: micros,
      more: (s, v) => `median ${micros(v.p50)}, 99.9\u00a0% ${micros(v.p999)}${known(v.max) ? `, max ${micros(v.max)}` : ''}` },
    { name: 'Memory, resident', key: 'resident', value: (v) => bytes(v.resident), top: bytes,
      more: (s, v) => `${bytes(s.bytes_per_connection)} a connection, ${bytes(v.upstream)} from upstream` },
  ];
  for (const tile of TILES) {
    const box = element('div', find('tiles'), 'tile');
    write(element('h3', box), tile.name);
    tile.where = element('div', box, 'value');
    tile.draw = sparkline(box, tile.name);
    tile.peak = element('div', box, 'more');
    tile.line = element('div', box, 'more');
  }

  // Columns of a class: label, text of (class, rates); where some is not well, the level of a value, the value.
  const some = (level) => (value) => (value > 0 ? level : '');
  const COLUMNS = [
    ['Held', (c) => count(c.in_use)],
    ['Cached', (c) => count(c.cached)],
    ['Free', (c) => count(c.available - c.cached)],
    ['Peak', (c) => count(c.peak_in_use)],
    ['Allocs, /s', (c, r) => si(r.alloc_count)],
    ['Frees, /s', (c, r) => si(r.free_count)],
    ['Fallbacks, /s', (c, r) => si(r.fallback_count), some('warn'), (c, r) => r.fallback_count],
    ['Refusals, /s', (c, r) => si(r.refusal_count), some('bad'), (c, r) => r.refusal_count],
    ['Raids, /s', (c, r) => si(r.raid_count)],
    ['Waiting', (c) => count(c.waiting), some('warn'), (c) => c.waiting],
  ];
  for (const label of ['Class', 'Occupancy', ...COLUMNS.map((column) => column[0]), 'Held, 3 minutes']) {
    const head = element('th', find('heads'));
    head.scope = 'col';
    head.setAttribute('role', 'columnheader');
    if (label === 'Occupancy') head.className = 'left';
    write(head, label);
  }

  function makeRow(size) {
    const row = element('tr');
    row.setAttribute('role', 'row');
    const cell = (label, className) => {
      const made = element('td', row, className);
      made.setAttribute('role', 'cell');
      made.dataset.label = label;
      return made;
    };
    const name = element('th', row);
    name.scope = 'row';
    name.setAttribute('role', 'rowheader');
    write(name, size + '\u00a0B');
    const bar = element('div', cell('Occupancy', 'bar-cell'), 'bar');
    bar.setAttribute('role', 'img');
    const parts = ['held', 'cached', 'free', 'elastic'].map((part) => element('span', bar, part));
    const end = element('i', bar, 'end'), mark = element('i', bar, 'mark');
    const cells = COLUMNS.map(([label]) => cell(label));
    const draw = sparkline(cell('Held, 3 minutes', 'spark-cell'), `Held in class ${size}`);
    return { row, bar, parts, end, mark, cells, draw };
  }

  function showBar(made, c) {
    const whole = c.ring_size + (c.elastic_capacity || 0) || 1;
    const shares = [c.in_use, c.cached, c.available - c.cached, c.elastic_in_use || 0];
    made.parts.forEach((part, i) => {
      part.style.width = 100 * shares[i] / whole + '%';
      part.classList.toggle('some', shares[i] > 0 && i !== 2);
    });
    made.parts[2].style.flexShrink = '1';  // free gives way to slivers of the others
    made.end.hidden = !c.elastic_capacity;
    made.end.style.left = 100 * c.ring_size / whole + '%';
    made.mark.hidden = !c.peak_in_use;
    made.mark.style.left = `min(${100 * c.peak_in_use / whole}%, 100% - 2px)`;
    const elastic = c.elastic_capacity ? `, ${count(c.elastic_in_use)} of ${count(c.elastic_capacity)} elastic` : '';
    made.bar.setAttribute('aria-label', `${count(c.in_use)} held, ${count(c.cached)} cached, ` +
      `${count(c.available - c.cached)} free of ${count(c.ring_size)}; peak ${count(c.peak_in_use)}${elastic}`);
    made.bar.title = made.bar.getAttribute('aria-label');
  }

  // --- state ---

  const rows = new Map();   // by buffer size
  let before = null;        // {stats, at}: the last answer
  let history = [];         // {at, values, held}
  let heardAt = null;       // when the last answer came: Date
  let restartedAt = null;
  let paused = false;
  let timer = null;
  let asking = false;

  function setLevel(level, text, findings) {
    if (!(level in MARKS)) level = 'none';
    find('main').dataset.level = level;
    write(find('mark'), MARKS[level]);
    write(find('verdict'), text);
    document.title = `${MARKS[level]} ${text} – ringpool`;
    const icon = `data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4" fill="${COLOURS[level].replace('#', '%23')}"/></svg>`;
    const link = document.querySelector('link[rel=icon]');
    if (link.getAttribute('href') !== icon) link.setAttribute('href', icon);
    const list = find('findings');
    const wanted = findings.map((one) => one.text);
    if (wanted.join('\n') !== [...list.children].map((one) => one.textContent).join('\n')) {
      list.replaceChildren();
      for (const text of wanted) write(element('li', list), text);
    }
    list.hidden = wanted.length === 0;
  }

  function seconds(stats, at) {
    const told = (stats.time_ms - before.stats.time_ms) / 1000;
    return known(told) && told > 0 ? told : Math.max(0.001, (at - before.at) / 1000);
  }
  function fell(stats) {
    const last = before.stats;
    return stats.frames < last.frames || stats.uptime_s < last.uptime_s ||
      stats.connections.accepted < last.connections.accepted;
  }

  // Quantiles as the server says them, or out of its histogram: counts by `upper_ns`, the last without.
  function serviceTimes(stats, at) {
    if (stats.service_time_us) return stats.service_time_us;
    const { counts, upper_ns: upper } = stats.service_time ?? {};
    const then = history.find((one) => at - one.at <= TAIL_S * 1000)?.service;
    if (!counts || !upper || !then) return {};
    const grown = counts.map((n, i) => Math.max(0, n - then[i]));
    const all = grown.reduce((sum, n) => sum + n, 0);
    const quantile = (share) => {
      let rest = share * all, from = 0;
      for (let i = 0; i < upper.length; ++i) {
        if (rest <= grown[i]) return (from + (upper[i] - from) * rest / grown[i]) / 1000;
        rest -= grown[i];
        from = upper[i];
      }
      return from / 1000;
    };
    return all === 0 ? {} : { p50: quantile(0.5), p99: quantile(0.99), p999: quantile(0.999) };
  }

  function line(table, name, total, now, level) {
    let row = table.querySelector(`[data-name="${CSS.escape(name)}"]`);
    if (!row) {
      row = element('tr', table);
      row.dataset.name = name;
      const head = element('th', row);
      head.scope = 'row';
      write(head, name);
      element('td', row);
      element('td', row);
    }
    row.classList.toggle('zero', !total);
    write(row.cells[1], count(total));
    write(row.cells[2], si(now));
    row.cells[2].className = now > 0 ? level : '';
  }

  // Fine buckets are for advice: here they are joined to powers of two.
  function byPowersOfTwo(histogram) {
    const counts = new Map();
    for (const {le, count} of histogram) {
      const upper = known(le) ? 2 ** Math.ceil(Math.log2(le)) : le;
      counts.set(upper, (counts.get(upper) ?? 0) + count);
    }
    return Array.from(counts, ([le, count]) => ({le, count}));
  }

  function showSizes(histogram) {
    const table = find('sizes');
    const wanted = Array.isArray(histogram) ? byPowersOfTwo(histogram) : [];
    const shown = Math.max(1, wanted.length);
    while (table.rows.length > shown) table.deleteRow(-1);
    while (table.rows.length < shown) {
      const row = element('tr', table);
      element('th', row).scope = 'row';
      element('td', row);
      const meter = element('div', element('td', row), 'meter');
      element('span', element('div', meter, 'bar'), 'held');
      element('b', meter);
    }
    const all = wanted.reduce((sum, one) => sum + one.count, 0);
    for (let i = 0; i < shown; ++i) {
      const [head, total, share] = table.rows[i].cells;
      const one = wanted[i];
      const part = one && all ? one.count / all : NaN;
      write(head, one ? (known(one.le) ? one.le + '\u00a0B' : 'larger') : DASH);
      write(total, count(one?.count));
      write(share.querySelector('b'), known(part) ? (100 * part).toFixed(1) + '\u00a0%' : DASH);
      share.querySelector('span').style.width = (known(part) ? 100 * part : 0) + '%';
    }
  }

  function show(stats, at) {
    if (before && fell(stats)) {
      restartedAt = new Date();
      before = null;
      history = [];
    }
    const period = before ? seconds(stats, at) : NaN;
    const last = before?.stats;
    const rate = (now, then) => (known(now) && known(then) ? Math.max(0, now - then) / period : NaN);
    const closed = stats.connections.closed_by ?? {};
    const values = {
      frames: rate(stats.frames, last?.frames),
      bytes: rate(stats.bytes, last?.bytes),
      accepted: rate(stats.connections.accepted, last?.connections.accepted),
      open: stats.connections.open,
      resident: stats.resident_bytes,
      ...serviceTimes(stats, at),
      upstream: Math.max(...stats.classes.map((c) => c.upstream_in_use_bytes), 0),
    };
    history.push({ at, values, service: stats.service_time?.counts, held: new Map(stats.classes.map((c) => [c.buffer_size, c.in_use])) });
    history = history.filter((one) => at - one.at <= HISTORY_S * 1000);

    const kind = stats.buffers === 'malloc' ? 'buffers from malloc' : 'buffers from the pool';
    write(find('about'), [location.host, stats.version && 'version ' + stats.version, `${stats.backend}, ` +
      (stats.loops === 1 ? '1 loop' : `${count(stats.loops)} loops`), kind,
      known(stats.uptime_s) && 'up ' + duration(stats.uptime_s)].filter(Boolean).join(' · '));

    for (const tile of TILES) {
      const points = history.map((one) => [(at - one.at) / 1000, one.values[tile.key]]);
      const most = Math.max(0, ...points.map((point) => point[1]).filter(known));
      write(tile.where, tile.value(values));
      write(tile.line, tile.more(stats, values));
      const told = known(values[tile.key]) ? `up to ${tile.top(most)}` : 'not known';
      write(tile.peak, known(values[tile.key]) ? `${told} in 3 minutes` : DASH);
      tile.draw(points, most, told);
    }

    const findings = Array.isArray(stats.status?.findings) ? stats.status.findings : [];
    showClasses(stats.classes, last, rate, findings, at);
    showSizes(stats.size_histogram);
    for (const [reason, total] of Object.entries(closed)) {
      line(find('closed'), reason.replaceAll('_', ' '), total, rate(total, last?.connections.closed_by?.[reason]), '');
    }
    const troubles = (s) => s && [
      ['no buffer found, retries included', s.connections.starved, 'bad'],
      ['not read: the peer does not read', s.connections.slowed, ''],
      ['turned away: no descriptor', s.connections.turned_away, 'bad'],
      ['refused: no memory', s.connections.refused, 'bad'],
      ['not delivered in rooms', s.rooms?.drops, 'warn'],
      ...Object.entries(s.protocol_errors ?? {}).map(([name, n]) => ['frame: ' + name.replaceAll('_', ' '), n, 'warn']),
      ['served by a larger class', s.classes.reduce((sum, c) => sum + (c.spill_count ?? 0), 0), 'warn'],
      ['misuse: freed twice or foreign', s.classes.reduce((sum, c) => sum + c.misuse_count, 0), 'bad'],
    ];
    const then = new Map((troubles(last) ?? []).map(([name, total]) => [name, total]));
    for (const [name, total, level] of troubles(stats)) line(find('troubles'), name, total, rate(total, then.get(name)), level);

    if (stats.status) setLevel(stats.status.level, stats.status.text, findings.slice(1));
    else setLevel('none', 'this server sends no verdict', []);
    const fresh = restartedAt && Date.now() - restartedAt < NOTICE_S * 1000;
    find('notice').hidden = !fresh;
    if (fresh) write(find('notice'), `The server restarted at ${clock(restartedAt)}.`);
    before = { stats, at };
    heardAt = new Date();
  }

  function showClasses(classes, last, rate, findings, at) {
    find('no-classes').hidden = classes.length !== 0;
    find('classes').hidden = classes.length === 0;
    const sizes = new Set(classes.map((c) => c.buffer_size));
    for (const [size, made] of rows) if (!sizes.has(size)) { made.row.remove(); rows.delete(size); }
    for (const c of classes) {
      if (!rows.has(c.buffer_size)) rows.set(c.buffer_size, makeRow(c.buffer_size));
      const made = rows.get(c.buffer_size);
      if (made.row.parentNode === null) find('rows').append(made.row);
      const then = last?.classes.find((one) => one.buffer_size === c.buffer_size);
      const rates = {};
      for (const [name, value] of Object.entries(c)) rates[name] = rate(value, then?.[name]);
      showBar(made, c);
      COLUMNS.forEach(([, text, judge, value], i) => {
        write(made.cells[i], text(c, rates));
        made.cells[i].className = judge ? judge(value(c, rates)) : '';
      });
      const own = findings.filter((one) => one.class === c.buffer_size).map((one) => one.level);
      made.row.dataset.level = own.includes('bad') ? 'bad' : own.includes('warn') ? 'warn' : 'ok';
      const points = history.map((one) => [(at - one.at) / 1000, one.held.get(c.buffer_size)]);
      made.draw(points, c.ring_size, `${count(c.in_use)} of ${count(c.ring_size)}`);
    }
  }

  function showGone(why) {
    const since = heardAt ? `; what is below is of ${clock(heardAt)}` : '';
    setLevel('gone', why + since, []);
    find('notice').hidden = true;
  }

  // --- asking ---

  async function ask() {
    if (asking) return;
    asking = true;
    let why = 'no answer from the server';
    try {
      const answer = await fetch('stats.json', { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
      why = 'the server does not answer with statistics';
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      const stats = await answer.json();
      if (!Array.isArray(stats.classes) || !stats.connections) throw new Error('not of ringpool');
      show(stats, performance.now());
    } catch (error) {
      showGone(why === 'no answer from the server' ? why : `${why} (${error.message})`);
    }
    asking = false;
    plan(POLL_MS);
  }
  function plan(delay) {
    clearTimeout(timer);
    timer = paused || document.hidden ? null : setTimeout(ask, delay);
  }
  document.addEventListener('visibilitychange', () => plan(0));
  find('pause').addEventListener('click', () => {
    paused = !paused;
    find('pause').setAttribute('aria-pressed', String(paused));
    plan(0);
  });
  ask();
})();
