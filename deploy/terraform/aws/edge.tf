resource "aws_security_group" "edge" {
  name_prefix = "${var.name}-edge-"
  description = "Events from anywhere, by TLS"
  vpc_id      = aws_vpc.main.id
  ingress {
    description = "TLS"
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
  egress {
    description = "To the collectors"
    from_port   = 8080
    to_port     = 8080
    protocol    = "tcp"
    cidr_blocks = [var.cidr]
  }
}

resource "aws_lb" "collector" {
  name                       = "${var.name}-collector"
  load_balancer_type         = "application"
  subnets                    = aws_subnet.public[*].id
  security_groups            = [aws_security_group.edge.id]
  drop_invalid_header_fields = true
}

resource "aws_lb_target_group" "collector" {
  name        = "${var.name}-collector"
  vpc_id      = aws_vpc.main.id
  port        = 8080
  protocol    = "HTTP"
  target_type = "ip"
  health_check {
    path = "/ready"
  }
}

resource "aws_lb_listener" "collector" {
  load_balancer_arn = aws_lb.collector.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.collector.arn
  }
}

resource "aws_cloudwatch_log_group" "kafka" {
  name              = "/${var.name}/kafka"
  retention_in_days = 30
}

resource "aws_cloudwatch_metric_alarm" "unhealthy" {
  alarm_name          = "${var.name}-collector-unhealthy"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "UnHealthyHostCount"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  dimensions = {
    LoadBalancer = aws_lb.collector.arn_suffix
    TargetGroup  = aws_lb_target_group.collector.arn_suffix
  }
}

output "collector_address" {
  value = aws_lb.collector.dns_name
}
