'use strict';
(() => {
  const began = performance.now();
  const $ = id => document.getElementById(id);
  const json = id => JSON.parse($(id).textContent);
  const head = json('head');
  const SVG = 'http://www.w3.org/2000/svg';
  const MARKS = {correct: '\u2713', incorrect: '\u2715', undecided: '?', none: '\u00b7'};
  const GLYPHS = {pruned: '', cut: '\u2026', rejected: '\u2717', failed: '!', live: '', done: ''};
  const BOX = 50;
  const LETTER = 6.6;
  const CROWDED = 400;
  let tree = null;

  // Text of a model: hidden characters become visible escapes, everything else a text node.

  const HIDDEN = /[\p{C}\p{Zl}\p{Zp}]/u;
  const hidden = c => c !== '\n' && c !== '\t' && HIDDEN.test(c);
  const escape = c => {
    const code = c.codePointAt(0).toString(16);
    return code.length > 4 ? '\\U' + code.padStart(8, '0') : '\\u' + code.padStart(4, '0');
  };
  const plain = text => Array.from(text.replaceAll('\r\n', '\n'), c => hidden(c) ? escape(c) : c).join('');

  function el(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    made.append(...children.filter(c => c !== null));
    return made;
  }

  function shown(text) {
    const out = document.createDocumentFragment();
    let run = '';
    for (const c of text.replaceAll('\r\n', '\n')) {
      if (!hidden(c)) { run += c; continue; }
      out.append(run, el('span', {class: 'esc'}, escape(c)));
      run = '';
    }
    out.append(run);
    return out;
  }

  function svg(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  const two = x => x === null || x === undefined ? '\u2013' : x.toFixed(2).replace('-', '\u2212');
  const count = x => x.toLocaleString('en-US');
  const last = scores => scores && scores.length ? scores[scores.length - 1] : null;
  const known = scores => (scores || []).filter(s => s !== null);

  function bin(score) {
    if (score === null || score === undefined) return '';
    const {low, high} = tree.data;
    return 's' + Math.round((Math.min(Math.max(score, low), high) - low) / (high - low) * (head.bins - 1));
  }

  // One tree: what of it is shown, and where.

  const COLORS = {
    'last score': n => last(n.scores),
    'lowest score': n => known(n.scores).length ? Math.min(...known(n.scores)) : null,
    'mean value': n => n.value === undefined ? null : n.value,
  };

  function open(k) {
    const data = json('t' + k);
    const nodes = data.nodes, kids = nodes.map(() => []);
    nodes.forEach((n, i) => { if (i) kids[n.parent || 0].push(i); });
    const way = new Set();
    for (let i = data.chosen; i !== null && i !== undefined; i = i ? nodes[i].parent || 0 : null) way.add(i);
    const graded = new Map(data.candidates.map(c => [c.node, c.verdict]));
    const counts = {};
    nodes.forEach((n, i) => { if (i) counts[n.status] = (counts[n.status] || 0) + 1; });
    const off = new Set(nodes.length > CROWDED && counts.pruned ? ['pruned'] : []);
    const words = nodes.length <= CROWDED;
    tree = {k, data, nodes, kids, way, graded, counts, off, words, folded: new Set(), color: 'last score', here: null};
    if (!nodes.some(n => last(n.scores) !== null) && nodes.some(n => n.value !== undefined)) tree.color = 'mean value';
    listed();
    describe();
    bar();
    draw();
    pick(data.chosen === null ? 0 : data.chosen, true);
  }

  function arrange() {
    const {nodes, kids, way, off, folded} = tree;
    const keep = nodes.map((n, i) => !i || way.has(i) || !off.has(n.status));
    for (let i = nodes.length - 1; i > 0; i--) if (keep[i]) keep[nodes[i].parent || 0] = true;
    const under = nodes.map(() => 0);
    for (let i = 1; i < nodes.length; i++) {
      const parent = nodes[i].parent || 0;
      if (!keep[parent] || folded.has(parent)) keep[i] = false;
    }
    for (let i = nodes.length - 1; i > 0; i--) if (!keep[i]) under[nodes[i].parent || 0] += 1 + under[i];
    const row = tree.words ? 25 : 14, left = columns(keep);
    const x = new Float64Array(nodes.length), y = new Float64Array(nodes.length);
    const order = [], stack = [0];
    while (stack.length) {
      const i = stack.pop();
      order.push(i);
      for (const j of kids[i].filter(j => keep[j]).reverse()) stack.push(j);
    }
    let rows = 0;
    for (const i of order) {
      x[i] = left[nodes[i].depth || 0];
      if (!kids[i].some(j => keep[j])) y[i] = 16 + row * rows++;
    }
    for (const i of order.slice().reverse()) {
      const own = kids[i].filter(j => keep[j]);
      if (own.length) y[i] = (y[own[0]] + y[own[own.length - 1]]) / 2;
    }
    Object.assign(tree, {order, keep, under, x, y, row, wide: left[left.length - 1], tall: 32 + row * rows});
  }

  // Where the column of each depth begins, and behind them where the last one ends.
  function columns(keep) {
    const letters = [];
    tree.nodes.forEach((n, i) => {
      const depth = n.depth || 0;
      letters[depth] = Math.max(letters[depth] || 0, keep[i] && i && tree.words ? Array.from(snippet(n)).length : 0);
    });
    let at = 12;
    const left = letters.map(most => {
      const begin = at;
      at += BOX + 48 + LETTER * most;
      return begin;
    });
    return [...left, at];
  }

  function edges(list) {
    const {nodes, x, y} = tree;
    const wide = p => BOX + (p && tree.words ? 15 + LETTER * Array.from(snippet(nodes[p])).length : 0);
    return list.filter(i => i).map(i => {
      const p = nodes[i].parent || 0, from = x[p] + wide(p), middle = (from + x[i]) / 2;
      return `M${from} ${y[p]}C${middle} ${y[p]} ${middle} ${y[i]} ${x[i]} ${y[i]}`;
    }).join('');
  }

  function draw() {
    const start = performance.now();
    arrange();
    const root = svg('svg', {width: tree.wide, height: tree.tall, role: 'img', 'aria-label': 'search tree'});
    root.append(svg('path', {class: 'edge', d: edges(tree.order)}));
    root.append(svg('path', {class: 'edge way', d: edges(tree.order.filter(i => tree.way.has(i)))}));
    root.append(tree.trail = svg('path', {class: 'edge here', d: ''}));
    tree.marks = new Map();
    for (const i of tree.order) {
      const mark = glyph(i);
      tree.marks.set(i, mark);
      root.append(mark);
    }
    $('pane').replaceChildren(root);
    if (tree.here !== null) stand();
    overview();
    document.body.dataset.drawn = (performance.now() - start).toFixed(1);
  }

  function glyph(i) {
    const {nodes, x, y, way, graded, under, row} = tree, n = nodes[i], tall = Math.min(row - 4, 19);
    const score = COLORS[tree.color](n), verdict = graded.get(i);
    const names = ['n', bin(score), i ? n.status : 'root', way.has(i) ? 'way' : ''].filter(Boolean).join(' ');
    const mark = svg('g', {class: names, 'data-i': i, transform: `translate(${x[i]} ${y[i]})`});
    mark.append(svg('rect', {y: -tall / 2, width: BOX, height: tall, rx: n.status === 'done' ? tall / 2 : 3}));
    if (tree.words) mark.append(svg('text', {x: 6, y: 4}, i ? two(score) : 'start'));
    if (tree.words && GLYPHS[n.status]) mark.append(svg('text', {x: BOX - 11, y: 4}, GLYPHS[n.status]));
    if (verdict) {
      const name = {correct: 'good', incorrect: 'bad'}[verdict] || '';
      mark.append(svg('text', {class: name, x: tree.words ? BOX - 13 : BOX + 3, y: 4}, MARKS[verdict]));
    }
    if (tree.words && i) mark.append(svg('text', {class: 'snip', x: BOX + 6, y: 4}, snippet(n)));
    if (under[i]) mark.append(svg('text', {class: 'more', x: tree.words ? 2 : 12, y: tree.words ? 19 : 4}, '+' + under[i]));
    return mark;
  }

  function snippet(n) {
    const line = plain(n.text || '').replace(/\s+/g, ' ').trim() || (n.answer === undefined ? '' : '= ' + plain(n.answer));
    const letters = Array.from(line);
    return letters.length > 23 ? letters.slice(0, 22).join('') + '\u2026' : line;
  }

  function overview() {
    const canvas = $('overview'), pane = $('pane');
    canvas.hidden = tree.tall <= pane.clientHeight;
    if (canvas.hidden) return;
    const box = canvas.getBoundingClientRect(), paint = canvas.getContext('2d');
    canvas.height = Math.max(1, Math.round(box.height));
    const style = getComputedStyle(document.documentElement), scale = canvas.height / tree.tall;
    paint.clearRect(0, 0, 26, canvas.height);
    for (const i of tree.order) {
      const name = bin(COLORS[tree.color](tree.nodes[i]));
      paint.fillStyle = tree.way.has(i) ? style.getPropertyValue('--ink')
        : name ? style.getPropertyValue('--' + name) : style.getPropertyValue('--line');
      const depth = tree.nodes[i].depth || 0;
      paint.fillRect(2 + Math.min(depth * 4, 18), tree.y[i] * scale, 5, Math.min(6, Math.max(1, tree.row * scale * .7)));
    }
    paint.strokeStyle = style.getPropertyValue('--accent');
    paint.lineWidth = 1.5;
    paint.strokeRect(1, pane.scrollTop * scale, 24, Math.min(canvas.height - 2, pane.clientHeight * scale));
  }

  // The node that is looked at.

  function pick(i, jump) {
    tree.here = i;
    if (!tree.keep[i]) {
      for (let at = i; at; at = tree.nodes[at].parent || 0) {
        tree.off.delete(tree.nodes[at].status);
        tree.folded.delete(tree.nodes[at].parent || 0);
      }
      bar();
      draw();
    }
    stand();
    tell(i);
    remember();
    if (jump) {
      const pane = $('pane'), x = tree.x[i], y = tree.y[i];
      const across = Math.min(Math.max(pane.scrollLeft, x + 230 - pane.clientWidth), Math.max(0, x - 20));
      const down = y > pane.scrollTop + 20 && y < pane.scrollTop + pane.clientHeight - 40;
      pane.scrollTo(across, down ? pane.scrollTop : Math.max(0, y - pane.clientHeight / 2));
    }
  }

  function remember() {
    if (location.protocol !== 'about:') history.replaceState(null, '', `#${tree.k}/${tree.here}`);
  }

  function stand() {
    for (const mark of tree.lit || []) mark.classList.remove('here');
    const mark = tree.marks.get(tree.here), trail = [];
    if (mark) mark.classList.add('here');
    tree.lit = mark ? [mark] : [];
    for (let i = tree.here; i; i = tree.nodes[i].parent || 0) trail.push(i);
    tree.trail.setAttribute('d', edges(trail.filter(i => tree.keep[i])));
  }

  function path(i) {
    const chain = [];
    for (let at = i; ; at = tree.nodes[at].parent || 0) {
      chain.push(at);
      if (!at) break;
    }
    let text = [], ends = [], begin = 0, written = 0;
    for (const at of chain.reverse()) {
      const n = tree.nodes[at];
      if (n.start !== undefined) text = text.slice(0, n.start);
      begin = text.length;
      written = begin + (n.inserted || 0);
      if (!n.text) continue;
      text = text.concat(Array.from(n.text));
      ends = ends.slice(0, n.first || 0).concat(n.ends || []);
    }
    return {text, ends, begin, written};
  }

  function tell(i) {
    const n = tree.nodes[i], out = [];
    const role = (n.role || 'step') + (n.by ? ` by ${n.by}` : '');
    out.push(el('h2', {}, i ? `Node ${i}: ${plain(role)}, ${n.status}` : 'The problem'));
    if (tree.data.chosen === i) out.push(el('p', {class: 'note'}, 'The chosen solution.'));
    if (n.why) out.push(el('p', {class: 'why'}, shown(n.why)));
    if (i) out.push(facts(n, i), el('h3', {}, 'From the prompt to here'), steps(i));
    else out.push(found());
    if (n.data) {
      out.push(el('details', {}, el('summary', {}, 'Notes of the strategy'), el('pre', {}, shown(n.data))));
    }
    $('node').replaceChildren(...out);
  }

  function facts(n, i) {
    const list = el('dl', {}), verdict = tree.graded.get(i);
    const rows = [
      ['score', last(n.scores) === null ? null : String(+last(n.scores).toFixed(4))],
      ['visits', n.visits ? `${n.visits}, mean value ${two(n.value)}` : null],
      ['answer', n.answer === undefined ? null : n.answer + (verdict ? ` (${verdict})` : '')],
      ['gold answer', n.answer === undefined ? null : tree.data.gold],
      ['ended by', n.finish], ['same text', n.multiplicity > 1 ? `${n.multiplicity} times` : null],
      ['parent', String(n.parent || 0)], ['children', tree.kids[i].length ? String(tree.kids[i].length) : null],
      ['tokens', `${count(n.tokens || 0)} written` + (n.scored ? `, ${count(n.scored)} scored` : '')],
    ];
    for (const [name, value] of rows) {
      if (value !== null && value !== undefined) list.append(el('dt', {}, name), el('dd', {}, shown(value)));
    }
    return list;
  }

  function steps(i) {
    const {text, ends, begin, written} = path(i), scores = tree.nodes[i].scores || [], list = el('ol', {class: 'path'});
    const none = text.length === begin;
    const bounds = ends.length && ends[ends.length - 1] === text.length ? ends : [...ends, text.length];
    bounds.forEach((end, t) => {
      const start = t ? bounds[t - 1] : 0;
      if (end <= start) return;
      const cut = Math.min(Math.max(written, start), end), score = t < scores.length ? scores[t] : null;
      const given = cut > begin && cut > start ? text.slice(start, cut).join('') : '';
      const body = el('span', {class: 'tx'},
        given ? el('span', {class: 'ins', title: 'written by the strategy'}, shown(given)) : null,
        shown(text.slice(given ? cut : start, end).join('').replace(/\n+$/, '')));
      list.append(el('li', {class: none || end > begin ? 'own' : ''},
        el('span', {class: 'v ' + bin(score)}, two(score)), body));
    });
    return list;
  }

  function found() {
    const {candidates, asked} = tree.data, out = document.createDocumentFragment();
    out.append(el('p', {class: 'note'},
      `${candidates.length}${asked === null || asked === undefined ? '' : ' of ' + asked} solutions finished.`));
    out.append(el('p', {class: 'note'},
      'Click a node to see it, double-click it to fold what is behind it; arrow keys move. A click on a status hides it.'));
    if (!candidates.length) return out;
    const table = el('table', {class: 'found'}, el('tr', {},
      ...['node', 'answer', 'verdict', 'score'].map(name => el('th', {scope: 'col'}, name))));
    for (const c of candidates.slice(0, 200)) {
      const jump = el('button', {type: 'button'}, String(c.node));
      jump.addEventListener('click', () => pick(c.node, true));
      table.append(el('tr', {}, el('td', {}, jump), el('td', {}, shown(c.answer === null ? '\u2013' : c.answer)),
        el('td', {}, c.verdict || '\u2013'), el('td', {}, two(last(c.scores)))));
    }
    out.append(table);
    return out;
  }

  // Around the tree.

  function describe() {
    const d = tree.data, list = $('problem');
    const none = () => el('span', {class: 'absent'}, 'none');
    const rows = [
      ['Problem', d.prompt === null ? el('span', {class: 'absent'}, d.id + ' (its text is not in this directory)') : shown(d.prompt)],
      ['Gold', d.gold === null ? none() : shown(d.gold)],
      ['Answer', el('span', {}, d.answer === null ? none() : shown(d.answer), ' ',
        el('span', {class: 'badge ' + (d.verdict || 'not-graded')}, d.verdict || 'not graded'), ' ',
        el('span', {class: 'iv'}, shown(d.reason || '')))],
      ['Search', `${count(d.tokens)} tokens in ${count(d.calls)} calls, ${count(d.scored)} scored; ` +
        (d.stop ? `stopped: ${d.stop}` : '') + (d.unserved ? `; ${d.unserved} continuations not asked for` : '') + `; id ${plain(d.id)}`],
    ];
    if (d.error) rows.push(['Failed', el('span', {class: 'failure'}, shown(`${d.error.kind}: ${d.error.message}`))]);
    list.replaceChildren(...rows.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));
  }

  function bar() {
    const out = [];
    for (const status of Object.keys(GLYPHS).filter(s => tree.counts[s])) {
      const chip = el('button', {type: 'button', 'aria-pressed': String(!tree.off.has(status)), title: 'show or hide'},
        el('i', {class: 'box ' + status}), `${status} ${count(tree.counts[status])}`);
      chip.addEventListener('click', () => {
        if (!tree.off.delete(status)) tree.off.add(status);
        bar();
        draw();
      });
      out.push(chip);
    }
    const words = el('input', {type: 'checkbox'});
    words.checked = tree.words;
    words.addEventListener('change', () => { tree.words = words.checked; draw(); pick(tree.here, true); });
    const color = el('select', {'aria-label': 'Color by'});
    for (const name of Object.keys(COLORS)) {
      if (tree.nodes.some(n => COLORS[name](n) !== null)) color.append(el('option', {}, name));
    }
    color.value = tree.color;
    color.addEventListener('change', () => { tree.color = color.value; draw(); });
    out.push(el('span', {class: 'space'}), el('label', {}, words, 'text'), ramp());
    if (color.options.length > 1) out.push(color);
    if (tree.data.chosen !== null) {
      const go = el('button', {type: 'button'}, 'chosen');
      go.addEventListener('click', () => pick(tree.data.chosen, true));
      out.push(go);
    }
    const all = el('button', {type: 'button'}, 'solutions');
    all.addEventListener('click', () => pick(0, true));
    out.push(all);
    $('bar').replaceChildren(...out);
  }

  function ramp() {
    const {low, high} = tree.data, out = el('span', {class: 'ramp', title: 'color of the scores'}, String(+low.toFixed(2)));
    for (let i = 0; i < head.bins; i++) out.append(el('i', {class: 's' + i}));
    out.append(el('span', {}, String(+high.toFixed(2))));
    return out;
  }

  function listed() {
    const word = $('find').value.toLowerCase(), wanted = $('verdict').value, items = [];
    head.problems.forEach((p, k) => {
      const verdict = p.verdict || 'none';
      if ((word && !(p.id + ' ' + p.about).toLowerCase().includes(word)) || (wanted && wanted !== verdict)) return;
      const button = el('button', {type: 'button', 'aria-current': String(tree !== null && tree.k === k), 'data-k': k},
        el('span', {class: 'mark ' + verdict, title: verdict}, MARKS[verdict]), el('span', {class: 'id'}, shown(p.about || p.id)),
        el('small', {title: plain(p.id)}, `${count(p.count)} nodes, ${count(p.tokens)} tokens`));
      items.push(el('li', {}, button));
    });
    $('list').replaceChildren(...items);
  }

  function runLine() {
    const r = head.result, said = [];
    if (r.strategy) said.push(r.strategy);
    if (r.accuracy !== undefined && r.accuracy !== null) {
      said.push(`accuracy ${r.accuracy.toFixed(3)} [${r.interval.map(v => v.toFixed(3)).join(', ')}] (${r.correct}/${r.decided})`);
    }
    if (r.tokens_per_problem !== undefined) said.push(`${Math.round(r.tokens_per_problem)} tokens a problem`);
    if (r.scorer) said.push('scored by ' + r.scorer);
    return said.join(' \u00b7 ') || `${head.problems.length} problems`;
  }

  function move(key) {
    const {nodes, order, keep, kids, y, here} = tree;
    if (key === 'ArrowLeft') return here ? nodes[here].parent || 0 : 0;
    if (key === 'ArrowRight') return kids[here].find(j => keep[j]) ?? here;
    const depth = nodes[here].depth || 0;
    const level = order.filter(i => (nodes[i].depth || 0) === depth).sort((a, b) => y[a] - y[b]);
    return level[level.indexOf(here) + (key === 'ArrowDown' ? 1 : -1)] ?? here;
  }

  function listen() {
    const pane = $('pane'), at = event => {
      const mark = event.target.closest('g[data-i]');
      return mark ? Number(mark.dataset.i) : null;
    };
    pane.addEventListener('click', event => { if (at(event) !== null) pick(at(event)); });
    pane.addEventListener('dblclick', event => {
      const i = at(event);
      if (i === null || !tree.kids[i].length) return;
      if (!tree.folded.delete(i)) tree.folded.add(i);
      draw();
    });
    pane.addEventListener('mouseover', event => { if (at(event) !== null) tell(at(event)); });
    pane.addEventListener('mouseleave', () => tell(tree.here));
    pane.addEventListener('scroll', () => requestAnimationFrame(overview));
    pane.addEventListener('keydown', event => {
      if (!event.key.startsWith('Arrow')) return;
      event.preventDefault();
      pick(move(event.key), true);
    });
    $('overview').addEventListener('click', event => {
      pane.scrollTop = event.offsetY / $('overview').clientHeight * tree.tall - pane.clientHeight / 2;
    });
    $('list').addEventListener('click', event => {
      const button = event.target.closest('button');
      if (button) open(Number(button.dataset.k));
    });
    $('find').addEventListener('input', listed);
    $('verdict').addEventListener('change', listed);
    addEventListener('resize', () => overview());
  }

  $('run').append(shown(runLine()));
  for (const name of ['', 'correct', 'incorrect', 'undecided']) $('verdict').append(el('option', {value: name}, name || 'all'));
  if (head.left_out) $('left').append(`${head.left_out} more problems are not on this page: it would be too large.`);
  $('app').hidden = false;
  listen();
  const [k, i] = location.hash.slice(1).split('/').map(Number);
  if (head.problems.length) open(k in head.problems ? k : 0);
  if (tree && k === tree.k && i in tree.nodes) pick(i, true);
  document.body.dataset.ready = (performance.now() - began).toFixed(1);
})();
