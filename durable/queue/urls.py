"""The address at which a page follows a task."""

from django.urls import path

from . import views

app_name = "durable"
urlpatterns = [path("tasks/<str:token>/events", views.task_events, name="task_events")]
