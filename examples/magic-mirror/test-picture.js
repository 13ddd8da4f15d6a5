// The test picture: a heliostat at work. The sun crosses the sky, the mirror turns after it, and its
// beam stays on the tower. A pure drawing: the same moment always gives the same picture.

/** One day of the test picture, in milliseconds. */
export const DAY_MS = 12000;

export function drawTestPicture(context, nowMs, caption = '', { isDark = false } = {}) {
  const { width, height } = context.canvas;
  const day = (nowMs % DAY_MS) / DAY_MS;
  const unit = width / 100;
  const ground = height * 0.78;
  const sun = {
    x: width * (0.04 + 0.92 * day),
    y: ground - Math.sin(Math.PI * day) * ground * 0.74 - 4 * unit,
  };
  const mirror = { x: width * 0.34, y: ground - 9 * unit };
  const target = { x: width * 0.8, y: ground - 34 * unit };

  drawSky(context, Math.sin(Math.PI * day), ground);
  drawHills(context, ground, unit);
  drawTower(context, target, ground, unit);
  if (isDark) drawDusk(context);
  drawBeam(context, sun, mirror, unit * 1.1, 0.28);
  drawBeam(context, mirror, target, unit * 1.1, 0.62);
  drawSun(context, sun, unit);
  drawGlow(context, target, unit * 7);
  drawMirror(context, mirror, sun, target, ground, unit);
  drawCaption(context, caption, unit);
}

function drawSky(context, noon, ground) {
  const { width, height } = context.canvas;
  const sky = context.createLinearGradient(0, 0, 0, ground);
  sky.addColorStop(0, mix([35, 48, 94], [46, 134, 214], noon));
  sky.addColorStop(0.7, mix([214, 104, 92], [150, 205, 240], noon));
  sky.addColorStop(1, mix([255, 176, 96], [232, 240, 232], noon));
  context.fillStyle = sky;
  context.fillRect(0, 0, width, height);
}

/** For pages that are dark: everything but the light. */
function drawDusk(context) {
  context.fillStyle = 'rgba(7, 11, 34, 0.7)';
  context.fillRect(0, 0, context.canvas.width, context.canvas.height);
}

function drawSun(context, { x, y }, unit) {
  drawGlow(context, { x, y }, unit * 16);
  context.fillStyle = '#fff3c4';
  disc(context, x, y, unit * 4);
}

function drawHills(context, ground, unit) {
  const { width, height } = context.canvas;
  context.fillStyle = '#3f6b58';
  context.beginPath();
  context.moveTo(0, ground - 2 * unit);
  context.bezierCurveTo(width * 0.25, ground - 13 * unit, width * 0.4, ground, width * 0.6, ground - 5 * unit);
  context.bezierCurveTo(width * 0.75, ground - 10 * unit, width * 0.9, ground - 3 * unit, width, ground - 8 * unit);
  context.lineTo(width, height);
  context.lineTo(0, height);
  context.fill();
  context.fillStyle = '#2d4a3f';
  context.fillRect(0, ground, width, height - ground);
}

function drawTower(context, target, ground, unit) {
  context.fillStyle = '#1f2a33';
  context.beginPath();
  context.moveTo(target.x - 3.4 * unit, ground + 3 * unit);
  context.lineTo(target.x - 1.8 * unit, target.y);
  context.lineTo(target.x + 1.8 * unit, target.y);
  context.lineTo(target.x + 3.4 * unit, ground + 3 * unit);
  context.fill();
  context.fillRect(target.x - 3.6 * unit, target.y - 3 * unit, 7.2 * unit, 6 * unit);
}

function drawMirror(context, mirror, sun, target, ground, unit) {
  context.strokeStyle = '#1f2a33';
  context.lineWidth = unit * 1.6;
  line(context, mirror, { x: mirror.x, y: ground + 3 * unit });

  // A mirror faces the middle between where the light comes from and where it is to go.
  const normal = (direction(mirror, sun) + direction(mirror, target)) / 2;
  context.save();
  context.translate(mirror.x, mirror.y);
  context.rotate(normal + Math.PI / 2);
  context.fillStyle = '#1f2a33';
  context.fillRect(-9 * unit, 0, 18 * unit, 1.4 * unit);
  context.fillStyle = '#d7f0ff';
  context.fillRect(-9 * unit, -1.1 * unit, 18 * unit, 1.3 * unit);
  context.restore();
}

function drawBeam(context, from, to, halfWidth, strength) {
  context.strokeStyle = `rgba(255, 226, 138, ${strength})`;
  context.lineWidth = halfWidth * 2;
  line(context, from, to);
}

function drawGlow(context, { x, y }, radius) {
  const glow = context.createRadialGradient(x, y, 0, x, y, radius);
  glow.addColorStop(0, 'rgba(255, 244, 190, 0.95)');
  glow.addColorStop(0.35, 'rgba(255, 214, 110, 0.45)');
  glow.addColorStop(1, 'rgba(255, 200, 90, 0)');
  context.fillStyle = glow;
  disc(context, x, y, radius);
}

function drawCaption(context, caption, unit) {
  if (!caption) return;
  context.font = `600 ${Math.round(unit * 3.6)}px system-ui, sans-serif`;
  context.fillStyle = 'rgba(255, 255, 255, 0.92)';
  context.textBaseline = 'bottom';
  context.fillText(caption, unit * 4, context.canvas.height - unit * 4);
}

function direction(from, to) {
  return Math.atan2(to.y - from.y, to.x - from.x);
}

function line(context, from, to) {
  context.lineCap = 'round';
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x, to.y);
  context.stroke();
}

function disc(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

function mix(from, to, part) {
  return `rgb(${from.map((value, i) => Math.round(value + (to[i] - value) * part)).join(', ')})`;
}
